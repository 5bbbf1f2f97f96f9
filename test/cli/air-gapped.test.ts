import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { expect, onTestFinished, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { readFileFromDisk } from '../../src/config/files.ts';
import { loadConfig } from '../../src/config/load.ts';
import { attestorKinds, providerKinds } from '../../src/kinds.ts';
import { type Runtime, systemRuntime } from '../../src/runtime.ts';
import { startBroker } from '../../src/serve.ts';
import { startWarehouse } from '../providers/postgres/world.ts';
import { startIssuer } from '../support/issuer.ts';
import { freePort } from '../support/ports.ts';
import { layEmbeddedStore } from '../support/stores.ts';
import { bundleHallpass } from './support/bundle.ts';
import { program } from './support/programs.ts';

const PAGE = readFileSync(new URL('../../src/identity/keys/README.md', import.meta.url), 'utf8');
const SAMPLE = /<!-- air-gapped -->\n```yaml\n(.*?)```/s.exec(PAGE)?.[1] ?? '';

// Each command is a process of its own.
vi.setConfig({ testTimeout: 180_000 });

/** The configuration as it stands in the page; what its entries are in is left open. */
// biome-ignore lint/suspicious/noExplicitAny: a configuration before anything has read it
type Written = Record<string, any>;

async function brokerOf(folder: string, written: Written, runtime: Runtime = systemRuntime) {
  const path = join(folder, 'hallpass.yaml');
  writeFileSync(path, stringify(written), { mode: 0o600 });
  const config = await loadConfig({
    path,
    env: {},
    readFile: readFileFromDisk,
    attestors: attestorKinds,
    providers: providerKinds,
  });
  if (!config.ok) throw new Error(JSON.stringify(config.error, null, 2));
  await layEmbeddedStore(join(folder, 'state'));
  const broker = await startBroker(config.value, runtime, pino({ level: 'silent' }), '0.0.0');
  onTestFinished(() => broker.stop());
  return broker;
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-offline-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** `hallpass` as a process, and people who prove themselves by keys that they made with it. */
async function people(folder: string, url: string) {
  const bundle = await bundleHallpass();
  onTestFinished(() => bundle[Symbol.asyncDispose]());
  const env = { PATH: `${process.env.PATH}`, HOME: folder, HALLPASS_URL: url };
  const hallpass = program(process.execPath, [bundle.file], env);
  const keyFile = (subject: string) => join(folder, `${subject}.key.json`);
  return {
    /** The entry under `issuers` that making a key prints. */
    async newKey(subject: string, ...more: string[]): Promise<Written> {
      const made = await hallpass(
        ['key', 'new', '--out', keyFile(subject), '--subject', subject, '--owner', 'plant'].concat(
          ['--expires', '2030-01-31'],
          more,
        ),
      ).ended;
      expect(made.code, made.err).toBe(0);
      return parse(made.out).issuers[subject];
    },
    as:
      (subject: string) =>
      (verb: string, ...args: string[]) => {
        const sign = `${process.execPath} ${bundle.file} key sign --key ${keyFile(subject)}`;
        return hallpass([verb, '--token-command', sign, ...args]);
      },
  };
}

async function waitFor<T>(look: () => Promise<T | null> | T | null, what: string): Promise<T> {
  for (const end = Date.now() + 60_000; Date.now() < end; await delay(100)) {
    const found = await look();
    if (found !== null) return found;
  }
  throw new Error(`Gave up waiting for ${what}`);
}

test('air-gapped: asking, two approvals, opening, completing and killing run on pinned keys alone', async (ctx) => {
  const warehouse = await startWarehouse('15');
  if ('unavailable' in warehouse) return ctx.skip(warehouse.unavailable);
  onTestFinished(() => warehouse.stop());
  const folder = newFolder();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const { newKey, as } = await people(folder, url);
  const written: Written = parse(SAMPLE.replaceAll('https://hallpass.plant.example', url));
  await Promise.all(
    Object.entries<Written>(written.issuers).map(async ([name, entry]) => {
      const made = await newKey(name);
      // What is printed is what the page shows, and the key.
      expect({ ...made, jwks: { keys: [] } }).toEqual(entry);
      entry.jwks = made.jwks;
    }),
  );
  Object.assign(written.broker, { listen: `127.0.0.1:${port}` });
  const { provider, ...settings } = { provider: 'postgres', ...warehouse.settings('least') } as Written;
  writeFileSync(join(folder, 'historian-password'), settings.password, { mode: 0o600 });
  written.targets.historian = {
    ...written.targets.historian,
    host: settings.host,
    port: settings.port,
    database: 'warehouse',
    insecure_plaintext: true,
  };
  const asked: string[] = [];
  const runtime: Runtime = {
    ...systemRuntime,
    fetch: async (input) => {
      asked.push(String(input));
      throw new Error('there is no network');
    },
  };
  await brokerOf(folder, written, runtime);
  const [engineer, lead, safety] = [as('engineer'), as('shift-lead'), as('safety')];
  const roles = async () => {
    const { rows } = await warehouse.root.query("select rolname from pg_roles where rolname like 'hp\\_%'");
    return rows.map(({ rolname }) => rolname);
  };

  /** Runs a command that waits for a flag, once two have approved it. */
  async function repair(task: string) {
    const [report, go] = [join(folder, `${task}.report`), join(folder, `${task}.go`)];
    const script = `echo "$PGUSER" > ${report}.new; mv ${report}.new ${report}; while [ ! -e ${go} ]; do sleep 0.1; done`;
    const ask = ['--grant', 'repair', '--task', task, '--purpose', 'valve 4 sticks'];
    const running = engineer('exec', ...ask, '--', '/bin/sh', '-c', script);
    const id = await waitFor(() => /hallpass approve (\w+)/.exec(running.err())?.[1] ?? null, 'the request');
    expect(await roles()).toEqual([]);
    // Whoever asks is nobody who may approve, and one approver counts once.
    expect((await engineer('approve', id).ended).code).not.toBe(0);
    expect((await lead('approve', id).ended).err).toContain('it waits for more');
    await lead('approve', id).ended;
    expect(existsSync(report)).toBe(false);
    expect((await safety('approve', id).ended).err).toContain('Approved');
    const user = await waitFor(
      () => (existsSync(report) ? readFileSync(report, 'utf8').trim() : null),
      'the command',
    );
    expect(await roles()).toEqual([user]);
    return { running, go };
  }

  const first = await repair('repair-1');
  writeFileSync(first.go, '');
  expect((await first.running.ended).code).toBe(0);
  expect(await roles()).toEqual([]);

  const second = await repair('repair-2');
  const killed = await safety('kill', '--grant', 'repair', '--reason', 'wrong valve').ended;
  expect(killed.code, killed.err).toBe(0);
  expect(await roles()).toEqual([]);
  writeFileSync(second.go, '');
  await second.running.ended;
  expect((await engineer('grants').ended).out).toContain('repair');
  expect(asked).toEqual([]);
});

test('fallback: a broker that serves looks by itself, and people work by their keys while their provider is away', async () => {
  const folder = newFolder();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const { newKey, as } = await people(folder, url);
  const staff = await startIssuer();
  onTestFinished(() => staff.close());
  const login = await startIssuer();
  onTestFinished(() => login.close());
  const alice = await newKey('alice');
  let [shift, end] = [0, 0];
  // The wait between looks passes at once, and the clock moves on, up to the end.
  const runtime: Runtime = {
    ...systemRuntime,
    now: () => Date.now() + shift,
    sleep: async (ms, signal) => {
      await systemRuntime.sleep(ms === 15_000 ? 20 : ms, signal);
      if (ms === 15_000) shift = Math.min(shift + 7_500, end);
    },
  };
  await brokerOf(
    folder,
    {
      broker: { url, listen: `127.0.0.1:${port}`, state_directory: 'state' },
      issuers: {
        staff: { type: 'oidc', issuer: staff.url, audience: 'hallpass', allow_insecure_http: true },
        'staff-keys': {
          ...alice,
          fallback_for: 'staff',
          fallback_after_seconds: 60,
          fallback_probe_url: `${login.url}/jwks`,
          clock_tolerance_seconds: 300,
        },
      },
      people: [
        {
          name: 'Alice',
          identities: [
            { issuer: 'staff', claims: { sub: 'a' } },
            { issuer: 'staff-keys', claims: { sub: 'alice' } },
          ],
        },
      ],
      access: [{ role: 'auditor', issuer: 'staff-keys', claims: { sub: 'alice' } }],
    },
    runtime,
  );
  const refused = await as('alice')('tasks').ended;
  expect(refused.code).not.toBe(0);
  expect(refused.err).toContain('use that one');
  staff.fail('status-500');
  end = 90_000;
  await waitFor(async () => ((await as('alice')('tasks').ended).code === 0 ? true : null), 'the fallback');
  const log = await as('alice')('audit', '--kind', 'fallback.opened', '--json').ended;
  expect(log.out).toContain('HTTP 500');
  staff.fail(null);
  await waitFor(async () => ((await as('alice')('tasks').ended).code === 0 ? null : true), 'its end');
  // The provider answers, and nobody can sign in.
  login.fail('status-500');
  end = 180_000;
  await waitFor(async () => ((await as('alice')('tasks').ended).code === 0 ? true : null), 'the fallback');
});
