import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient } from '../../../src/client/client.ts';
import { readFileFromDisk } from '../../../src/config/files.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { attestorKinds, providerKinds } from '../../../src/kinds.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { type RunningBroker, startBroker } from '../../../src/serve.ts';
import { type FakeVault, startFakeVault } from '../../fakes/vault.ts';
import { startIssuer, type TestIssuer } from '../../support/issuer.ts';
import { freePort } from '../../support/ports.ts';
import { BROKER_POLICY } from './world.ts';

let folder: string;
let ci: TestIssuer;
let vault: FakeVault;
let broker: RunningBroker;
const lines: string[] = [];
let published: { keys: never[] } = { keys: [] };

/** A whole broker with its own store and its own master key, whose only way into Vault (a fake) is what it signs. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hallpass-federation-'));
  ci = await startIssuer({ algorithms: ['ES256'] });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  vault = await startFakeVault({ jwt: { issuer: url, jwks: () => published } });
  vault.policy('vault', BROKER_POLICY);
  vault.policy('reports', { 'database/creds/reporting': ['read'] });
  vault.tokenRole('hallpass', { allowed_policies: ['reports'], orphan: true, token_no_default_policy: true });
  const path = join(folder, 'hallpass.yaml');
  await writeFile(path, configuration(url, port));
  const config = await loadConfig({
    path,
    env: {},
    readFile: readFileFromDisk,
    attestors: attestorKinds,
    providers: providerKinds,
  });
  if (!config.ok) throw new Error(JSON.stringify(config.error, null, 2));
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  broker = await startBroker(config.value, systemRuntime, log, '0.0.0');
}, 120_000);

afterAll(async () => {
  await broker?.stop();
  await vault?.stop();
  await ci?.close();
  await rm(folder, { recursive: true, force: true });
});

function configuration(url: string, port: number): string {
  return `
broker: { url: "${url}", listen: "127.0.0.1:${port}", state_directory: state }
issuers:
  ci: { type: oidc, issuer: "${ci.url}", audience: hallpass, allow_insecure_http: true }
targets:
  vault:
    provider: vault
    address: ${vault.address}
    insecure_plaintext: true
    auth: { jwt: { role: vault } }
grants:
  report:
    who: [{ issuer: ci, claims: { sub: workload } }]
    tasks: [nightly]
    credentials:
      vault:
        target: vault
        ttl: { default: 5m, max: 10m }
        scope: { policies: [reports], secrets: { db: { path: database/creds/reporting } } }
`;
}

test('a broker without any stored secret: its signed token opens Vault, and the lease ends with the task', async () => {
  const discovery = await (await fetch(`${broker.url}/.well-known/openid-configuration`)).json();
  published = (await (await fetch((discovery as { jwks_uri: string }).jwks_uri)).json()) as typeof published;
  const client = createClient({ url: broker.url, token: () => ci.sign({ sub: 'workload' }) });
  const task = await client.openTask({ grant: 'report', task: 'nightly' });
  const { secret } = task.credentials[0]!;
  expect(vault.users.get(secret.values.db_username!)).toBe(secret.values.db_password);
  await task.complete();
  expect(vault.users.has(secret.values.db_username!)).toBe(false);
  expect(vault.leases.size).toBe(0);
});

test('the master key that a broker makes itself is for its owner alone, and it says so', async () => {
  expect((await stat(join(folder, 'state', 'master.key'))).mode & 0o777).toBe(0o600);
  expect(lines.join('')).toContain('keys.master_key_file');
});
