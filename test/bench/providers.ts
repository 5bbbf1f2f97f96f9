import { IAMCredentialsClient } from '@google-cloud/iam-credentials';
import { OAuth2Client } from 'google-auth-library';
import nodeVault from 'node-vault';
import type { Verbs } from '../../src/broker/verbs.ts';
import { type Json, sha256 } from '../../src/json.ts';
import { provider as google } from '../../src/providers/google/provider.ts';
import { provider as http } from '../../src/providers/http/provider.ts';
import type { ProviderKind, TargetContext } from '../../src/providers/provider.ts';
import { provider as vault } from '../../src/providers/vault/provider.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { ACCOUNT, scopeOf as googleScope, startGoogleWorld } from '../providers/google/world.ts';
import { startWebhookWorld } from '../providers/http/world.ts';
import { BROKER_POLICY, scopeOf, settingsFor, startVaultWorld } from '../providers/vault/world.ts';
import { asking, createTestBroker, value, WORKLOAD } from '../support/broker.ts';
import { embeddedStore, ownPostgresStore } from '../support/stores.ts';

/**
 * `npm run bench:providers`: a lease from its opening to its end, beside the same calls with the vendor's bare client
 * against the same fake in the same run. What is between them is the broker: checks, commits, events.
 */
const ROUNDS = Number(process.env.ROUNDS ?? 200);
const postgres = await ownPostgresStore();
const store = postgres.ok ? postgres.store : await embeddedStore();
const rows: Record<string, Record<string, string>> = {};

interface Subject {
  readonly kind: ProviderKind;
  readonly settings: unknown;
  readonly scope: unknown;
  readonly identityToken: NonNullable<TargetContext['identityToken']>;
  readonly ttl: string;
  bare(): Promise<void>;
  stop(): Promise<void>;
}

for (const [name, start] of Object.entries({ vault: startVault, google: startGoogle, http: startHttp })) {
  const subject = await start();
  const verbs = await verbsFor(subject);
  const bare = await median(subject.bare);
  const whole = await median(() => lease(verbs));
  await subject.stop();
  rows[name] = {
    'bare client, µs': bare.toFixed(0),
    'through the broker, µs': whole.toFixed(0),
    'added, µs': (whole - bare).toFixed(0),
    ratio: (whole / bare).toFixed(2),
  };
}
console.log(
  `The median of ${ROUNDS} leases, one after another; store: ${store.name}; targets: fakes on loopback`,
);
console.table(rows);
await store.stop();

async function verbsFor({ kind, settings, scope, identityToken, ttl }: Subject): Promise<Verbs> {
  const provider: ProviderKind = {
    ...kind,
    open: (_settings, context) => kind.open(settings, { ...context, identityToken }),
    settings: { parse: () => settings } as never,
  };
  const grant = {
    who: [{ issuer: 'ci', claims: { repository_id: '42' } }],
    tasks: ['nightly'],
    credentials: { it: { target: 'it', ttl: { default: ttl, max: ttl }, scope: scope as Json } },
  };
  const { verbs } = await createTestBroker({
    database: await store.open(),
    runtime: systemRuntime,
    worlds: { it: { provider } as never },
    grants: { report: grant },
  });
  return verbs;
}

async function lease(verbs: Verbs): Promise<void> {
  const opened = value(await verbs.openTask(WORKLOAD, asking()));
  const token = { kind: 'bearer', token: opened.token ?? '' } as const;
  const caller = value(await verbs.identify(token, 'bench'));
  value(await verbs.completeTask(caller, opened.task.id, 0));
}

/** In microseconds. The first tenth warms up. */
async function median(work: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS * 1.1; round++) {
    const began = process.hrtime.bigint();
    await work();
    if (round >= ROUNDS * 0.1) times.push(Number(process.hrtime.bigint() - began) / 1000);
  }
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length / 2)] ?? Number.NaN;
}

async function startVault(): Promise<Subject> {
  const world = await startVaultWorld();
  world.vault.policy('operator', BROKER_POLICY);
  const client = nodeVault({ endpoint: world.vault.address, token: world.vault.operatorToken(['operator']) });
  return {
    kind: vault as ProviderKind,
    settings: settingsFor(world.vault.address),
    scope: scopeOf(),
    identityToken: world.identityToken,
    ttl: '5m',
    async bare() {
      const { auth } = await client.write('auth/token/create/hallpass', {
        policies: ['reports'],
        ttl: '300s',
      });
      const holder = { headers: { 'X-Vault-Token': auth.client_token } };
      const { lease_id } = await client.read('database/creds/reporting', holder);
      await client.write('auth/token/revoke-accessor', { accessor: auth.accessor });
      await client.write('auth/token/lookup-accessor', { accessor: auth.accessor }).catch(() => {});
      while (await client.write('sys/leases/lookup', { lease_id }).catch(() => null));
    },
    stop: world.stop,
  };
}

async function startGoogle(): Promise<Subject> {
  const world = await startGoogleWorld();
  const settings = world.settings();
  const auth = new OAuth2Client();
  auth.refreshHandler = async () => {
    const audience = `https://iam.googleapis.com/${world.google.workloadIdentityProvider}`;
    const body = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      audience: `//iam.googleapis.com/${world.google.workloadIdentityProvider}`,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: await world.identityToken(audience, {}, 300),
    });
    const answer = await fetch(`${world.google.address}/v1/token`, { method: 'POST', body });
    const { access_token } = (await answer.json()) as { access_token: string };
    return { access_token, expiry_date: Date.now() + 3_600_000 };
  };
  const client = new IAMCredentialsClient({
    fallback: true,
    authClient: auth,
    apiEndpoint: '127.0.0.1',
    port: world.google.port,
    protocol: 'http',
  } as never);
  const request = {
    name: `projects/-/serviceAccounts/${ACCOUNT}`,
    scope: googleScope().scopes ?? [],
    lifetime: { seconds: 300 },
  };
  return {
    kind: google as ProviderKind,
    settings,
    scope: googleScope(),
    identityToken: world.identityToken,
    ttl: '5m',
    bare: async () => void (await client.generateAccessToken(request)),
    stop: world.stop,
  };
}

async function startHttp(): Promise<Subject> {
  const world = await startWebhookWorld();
  const { url } = world.service;
  let count = 0;
  async function ask(operation: string, body: object): Promise<void> {
    const text = JSON.stringify(body);
    const claims = { htm: 'POST', htu: `${url}/${operation}`, body_sha256: sha256(text) };
    const token = await world.identityToken('https://credentials.acme.example', claims, 60);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    await (await fetch(`${url}/${operation}`, { method: 'POST', headers, body: text })).text();
  }
  return {
    kind: http as ProviderKind,
    settings: world.settings(),
    scope: { role: 'reader' },
    identityToken: world.identityToken,
    ttl: '5m',
    async bare() {
      const name = `bare_${++count}`;
      const later = new Date(Date.now() + 300_000);
      await ask('mint', { name, scope: {}, mint_before: later, expires_at: later });
      await ask('end', { name });
    },
    stop: world.stop,
  };
}
