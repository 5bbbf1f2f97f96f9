import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { mayHaveTakenEffect } from '../../../src/errors.ts';
import type { EndableTarget } from '../../../src/providers/provider.ts';
import { provider } from '../../../src/providers/vault/provider.ts';
import { pathFault, type VaultScope } from '../../../src/providers/vault/settings.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { endingOf, failure, soon, termsOf } from '../../conformance/provider.ts';
import { BROKER_POLICY, scopeOf, settingsFor, startVaultWorld, tokenNamed } from './world.ts';

let world: Awaited<ReturnType<typeof startVaultWorld>>;
beforeAll(async () => {
  world = await startVaultWorld();
});
afterEach(() => {
  Object.assign(world.vault, { before: null, after: null, databaseDown: false, revocationDelayMs: 0 });
  world.vault.tokenRole('hallpass', {
    allowed_policies: ['reports'],
    orphan: true,
    token_no_default_policy: true,
  });
});
afterAll(() => world.stop());

function open(over: object = {}, runtime = systemRuntime): EndableTarget<VaultScope> {
  const { identityToken, vault } = world;
  const target = provider.open(settingsFor(vault.address, over), {
    runtime,
    target: 'conformance',
    mark: 'hp_test_',
    identityToken,
  });
  onTestFinished(() => target.close());
  if (target.ends === 'expiry-only') throw new Error('it can be ended');
  return target;
}

test('mint: the token has the policies asked for and no other, lives no longer than the lease, and leads to it', async () => {
  const terms = termsOf();
  const minted = await open().mint(scopeOf({ secrets: {} }), terms, soon());
  const token = tokenNamed(world.vault, terms.name);
  expect(token).toMatchObject({
    id: minted.secret.values.token,
    policies: ['reports'],
    parent: null,
    displayName: `token-${terms.name}`,
    meta: { subject: 'batch', grant: 'nightly', task_id: terms.context.taskId },
  });
  expect(token!.expiresAt).toBeLessThanOrEqual(terms.expiresAt);
  expect(minted.expiresAt).toBeLessThanOrEqual(token!.expiresAt);
  expect(token!.expiresAt).toBeGreaterThan(terms.expiresAt - 5_000);
});

test('mint: a token that the role made otherwise than asked is refused, and revoked', async () => {
  const good = { allowed_policies: ['reports'], orphan: true, token_no_default_policy: true };
  for (const [over, word] of [
    [{ orphan: false }, 'orphan'],
    [{ token_type: 'batch' }, 'batch'],
    [{ period: 86_400 }, 'period'],
  ] as const) {
    world.vault.tokenRole('hallpass', { ...good, ...over });
    const terms = termsOf();
    const error = await failure(open().mint(scopeOf(), terms, soon()));
    expect(error).toMatchObject({ code: 'target-refused', message: expect.stringContaining(word) });
    expect(tokenNamed(world.vault, terms.name)).toBeUndefined();
  }
  world.vault.after = ({ path }) =>
    path.startsWith('auth/token/create/')
      ? {
          status: 200,
          body: {
            auth: { ...answerOf(), token_policies: ['reports', 'admin'] },
          },
        }
      : undefined;
  expect(await failure(open().mint(scopeOf(), termsOf(), soon()))).toMatchObject({
    message: expect.stringContaining('admin'),
  });
});

function answerOf() {
  const [token] = [...world.vault.tokens.values()].slice(-1);
  return { client_token: token!.id, accessor: token!.accessor, lease_duration: 60, orphan: true };
}

test('mint: policies beyond the role are refused by Vault, and nothing is made', async () => {
  const before = world.vault.tokens.size;
  const target = open();
  await target.mint(scopeOf(), termsOf(), soon());
  const error = await failure(target.mint(scopeOf({ policies: ['admin'] }), termsOf(), soon()));
  expect(error.code).toBe('target-refused');
  expect(world.vault.tokens.size).toBe(before + 2);
});

test('mint: a secret that Vault holds no lease for is refused, and its token revoked, unless the grant says how it ends', async () => {
  const secrets = { api: { path: 'secret/data/api' } };
  const terms = termsOf();
  const error = await failure(open().mint(scopeOf({ secrets }), terms, soon()));
  expect(error).toMatchObject({ code: 'target-refused', message: expect.stringContaining('ends: static') });
  expect(mayHaveTakenEffect(error)).toBe(false);
  expect(tokenNamed(world.vault, terms.name)).toBeUndefined();
});

test('mint: fails after something was read: the token is revoked, and the error says that something may be left', async () => {
  const secrets = { db: { path: 'database/creds/reporting' }, api: { path: 'secret/data/api' } };
  const users = world.vault.users.size;
  const terms = termsOf();
  expect(mayHaveTakenEffect(await failure(open().mint(scopeOf({ secrets }), terms, soon())))).toBe(true);
  expect(tokenNamed(world.vault, terms.name)).toBeUndefined();
  await expect.poll(() => world.vault.users.size).toBe(users);
});

test.each([
  [
    'before another secret is refused',
    {
      tls: { path: 'pki/issue/web', data: { common_name: 'web.example' }, ends: 'lapses' },
      db: { path: 'x/y' },
    },
  ],
  [
    'that the grant says ends with its token',
    { tls: { path: 'pki/issue/web', data: { common_name: 'web.example' } } },
  ],
])('mint: a certificate issued %s is not told as nothing', async (_, secrets) => {
  const error = await failure(open().mint(scopeOf({ secrets }), termsOf(), soon()));
  expect(error.message).toContain('its token is revoked');
  expect(mayHaveTakenEffect(error)).toBe(true);
});

test('end: that another address than it was made at knows no such token does not make it gone', async () => {
  const terms = termsOf();
  const { address: audience } = world.vault;
  const address = audience.replace('127.0.0.1', 'localhost');
  const moved = open({ address, auth: { jwt: { role: 'conformance', audience } } });
  const target = open();
  const { handle } = await target.mint(scopeOf(), terms, soon());
  const ending = endingOf(terms, handle);
  // Where it is found it is the one, whatever that Vault is called by now.
  expect(await moved.end(ending, soon())).toMatchObject({ found: true });
  expect(await target.end(ending, soon())).not.toHaveProperty('lapsesAt');
  expect(await failure(moved.end(ending, soon()))).toMatchObject({
    code: 'target-refused',
    message: expect.stringContaining('localhost'),
  });
  const lapsed = { ...ending, expiresAt: Date.now() - 1 };
  expect(await moved.end(lapsed, soon())).toMatchObject({ found: false, lapsesAt: lapsed.expiresAt });
});

test('end: a static secret is named in the evidence as outliving the lease', async () => {
  const target = open();
  const terms = termsOf();
  const secrets = { api: { path: 'secret/data/api', ends: 'static' } };
  const minted = await target.mint(scopeOf({ secrets }), terms, soon());
  expect(JSON.parse(minted.secret.values.api_data!)).toEqual({ api_key: world.vault.secretId });
  const { evidence } = await target.end(endingOf(terms, minted.handle), soon());
  expect(evidence).toMatchObject({ outliving: ['api'] });
});

test('end: a certificate is not said to be revoked: it lapses with the lease', async () => {
  const target = open();
  const terms = termsOf();
  const secrets = {
    tls: { path: 'pki/issue/web', data: { common_name: 'web.example' }, ends: 'lapses' },
    ssh: { path: 'ssh/sign/ops', data: { public_key: 'ssh-ed25519 AAAA' }, ends: 'lapses' },
  };
  const minted = await target.mint(scopeOf({ secrets }), terms, soon());
  expect(Number(minted.secret.values.tls_expiration) * 1000).toBeLessThanOrEqual(terms.expiresAt);
  expect(minted.secret.values.ssh_signed_key).toMatch(/^signed 59\ds$/);
  const ended = await target.end(endingOf(terms, minted.handle), soon());
  expect(ended).toMatchObject({
    found: true,
    lapsesAt: terms.expiresAt,
    evidence: { lapsing: ['tls', 'ssh'] },
  });
  expect(tokenNamed(world.vault, terms.name)).toBeUndefined();
});

test('end: as long as Vault holds the lease of a database user, it fails; once the database is back, it succeeds', async () => {
  const target = open();
  const terms = termsOf();
  const minted = await target.mint(scopeOf(), terms, soon());
  const [lease] = (minted.handle as { leases: string[] }).leases;
  world.vault.databaseDown = true;
  for (let attempt = 0; attempt < 2; attempt++) {
    const error = await failure(target.end(endingOf(terms, minted.handle), soon()));
    expect(error).toMatchObject({ code: 'target-failed', message: expect.stringContaining('database') });
  }
  // Vault has given it up, and would report nothing more of it.
  expect(world.vault.leases.get(lease!)?.attempts).toBeGreaterThanOrEqual(6);
  world.vault.databaseDown = false;
  const { found, evidence } = await target.end(endingOf(terms, minted.handle), soon());
  expect(found).toBe(true);
  expect(evidence).toMatchObject({ revokedByName: [lease], token: 'not found' });
  expect(world.vault.users.has(minted.secret.values.db_username!)).toBe(false);
}, 60_000);

test('end: waits for what Vault revokes in the background', async () => {
  const target = open();
  const terms = termsOf();
  const minted = await target.mint(scopeOf(), terms, soon());
  world.vault.revocationDelayMs = 300;
  const { evidence } = await target.end(endingOf(terms, minted.handle), soon());
  expect(evidence).not.toHaveProperty('revokedByName');
  expect(world.vault.users.has(minted.secret.values.db_username!)).toBe(false);
});

test('end: a revocation that Vault answers with success and does not do is not believed', async () => {
  const target = open();
  const terms = termsOf();
  const minted = await target.mint(scopeOf(), terms, soon());
  world.vault.before = ({ path }) => (path === 'auth/token/revoke-accessor' ? { status: 204 } : undefined);
  expect(await failure(target.end(endingOf(terms, minted.handle), soon()))).toMatchObject({
    code: 'target-failed',
  });
});

test('mint: a wrapped answer is a token that opens once', async () => {
  const minted = await open().mint(scopeOf({ wrap_ttl_seconds: 60 }), termsOf(), soon());
  expect(Object.keys(minted.secret.values).sort()).toEqual(['address', 'wrapping_token']);
  const unwrap = () =>
    fetch(`${world.vault.address}/v1/sys/wrapping/unwrap`, {
      method: 'POST',
      headers: { 'x-vault-token': minted.secret.values.wrapping_token! },
    });
  const { data } = (await (await unwrap()).json()) as { data: Record<string, string> };
  expect(world.vault.users.get(data.db_username!)).toBe(data.db_password);
  expect((await unwrap()).status).toBe(400);
});

test('connection: logs in once for many, and again when Vault has forgotten the broker', async () => {
  const target = open();
  const logins = () => world.vault.requests.filter(({ path }) => path.endsWith('/login')).length;
  const before = logins();
  await Promise.all([1, 2, 3, 4, 5].map(() => target.mint(scopeOf(), termsOf(), soon())));
  expect(logins()).toBe(before + 1);
  for (const token of world.vault.tokens.values()) {
    if (token.meta.role === 'conformance') (world.vault.tokens as Map<string, unknown>).delete(token.id);
  }
  await target.mint(scopeOf(), termsOf(), soon());
  expect(logins()).toBe(before + 2);
});

test('connection: a JWT for another subject or audience is not let in', async () => {
  world.vault.policy('other', BROKER_POLICY);
  for (const jwt of [{ role: 'other' }, { role: 'conformance', audience: 'https://elsewhere.example' }]) {
    const error = await failure(open({ auth: { jwt } }).mint(scopeOf(), termsOf(), soon()));
    expect(error.code).toBe('target-forbidden');
  }
});

test('connection: Kubernetes: reads the token of the pod at each login; AppRole: by its secret', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-vault-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'token');
  const kubernetes = { role: 'conformance', token_path: path };
  expect(await failure(open({ auth: { kubernetes } }).mint(scopeOf(), termsOf(), soon()))).toMatchObject({
    code: 'target-forbidden',
  });
  await writeFile(path, `${world.vault.serviceAccountToken}\n`);
  await open({ auth: { kubernetes } }).mint(scopeOf(), termsOf(), soon());
  const approle = { role_id: 'conformance', secret_id: world.vault.secretId };
  await open({ auth: { approle } }).mint(scopeOf(), termsOf(), soon());
});

test('connection: everything happens in the namespace, and nothing comes from the environment', async () => {
  const own = await startVaultWorld({ namespace: 'teams/data' });
  onTestFinished(() => own.stop());
  vi.stubEnv('VAULT_TOKEN', randomBytes(24).toString('hex'));
  vi.stubEnv('VAULT_NAMESPACE', 'elsewhere');
  vi.stubEnv('VAULT_ADDR', 'http://127.0.0.1:1');
  onTestFinished(() => void vi.unstubAllEnvs());
  const target = provider.open(settingsFor(own.vault.address, { namespace: 'teams/data' }), {
    runtime: systemRuntime,
    target: 'conformance',
    mark: 'hp_test_',
    identityToken: own.identityToken,
  });
  onTestFinished(() => target.close());
  const { secret } = await target.mint(scopeOf(), termsOf(), soon());
  expect(secret.values.namespace).toBe('teams/data');
  expect(new Set(own.vault.requests.map(({ namespace }) => namespace))).toEqual(new Set(['teams/data']));
});

test.each([
  [400, 'target-refused'],
  [403, 'target-forbidden'],
  [404, 'target-refused'],
  [307, 'target-refused'],
  [412, 'target-throttled'],
  [429, 'target-throttled'],
  [473, 'target-unreachable'],
  [500, 'target-failed'],
  [502, 'target-failed'],
  [503, 'target-unreachable'],
])('mint: an answer of %i is %s', async (status, code) => {
  world.vault.before = ({ path }) =>
    path.startsWith('auth/token/create/')
      ? { status, body: { errors: ['no \u001b[31mway'] }, headers: { 'retry-after': '7' } }
      : undefined;
  const error = await failure(open().mint(scopeOf(), termsOf(), soon()));
  expect(error).toMatchObject({ code, vendorCode: String(status), retryAfterMs: 7_000 });
  expect(error.message).not.toContain('\u001b');
});

test('mint: an answer that is not JSON, not the API, or without end is a failure of the target', async () => {
  for (const body of ['<html>', { auth: {} }, { auth: { pad: 'x'.repeat(2_000_000) } }]) {
    world.vault.before = ({ path }) =>
      path.startsWith('auth/token/create/') ? { status: 200, body } : undefined;
    expect(await failure(open().mint(scopeOf(), termsOf(), soon()))).toMatchObject({ code: 'target-failed' });
  }
});

test('selfTest: names the paths that the broker may not use, as a policy to paste', async () => {
  const { 'sys/leases/revoke': _, ...rest } = BROKER_POLICY;
  world.vault.policy('lesser', rest);
  const auth = { approle: { role_id: 'lesser', secret_id: world.vault.secretId } };
  const { ok, remedies } = await open({ auth }).selfTest(soon(), [scopeOf()]);
  expect(ok).toBe(false);
  expect(remedies).toEqual(['path "sys/leases/revoke" {\n  capabilities = ["update"]\n}']);
});

test('selfTest: templated scopes are left to their parameters', async () => {
  const scope = { policies: ['{{ parameters.team }}'] };
  const { ok, steps } = await open().selfTest(soon(), [scope]);
  expect({ ok, steps }).toEqual({ ok: true, steps: [{ name: 'ask for our capabilities', ok: true }] });
});

test('scope: what it refuses', () => {
  for (const scope of [
    { policies: [] },
    { policies: ['root'] },
    { policies: ['Reports'] },
    { policies: ['reports'], token: false },
    { policies: ['reports'], secrets: { db: { path: '../sys/seal' } } },
    { policies: ['reports'], secrets: { db: { path: 'database/creds/x?list=true' } } },
    { policies: ['reports'], secrets: { tls: { path: 'pki/issue/x', ends: 'lapses' } } },
    {
      policies: ['reports'],
      secrets: { tls: { path: 'pki/issue/x', data: { ttl: '87600h' }, ends: 'lapses' } },
    },
  ])
    expect(provider.scope.safeParse(scope).success, JSON.stringify(scope)).toBe(false);
  const wide = { policies: ['a'], secrets: { db: { path: 'database/creds/{{ parameters.role | plain }}' } } };
  expect(provider.refuseScope?.(wide, settingsFor(world.vault.address))).toHaveLength(1);
});

test('pathFault: what it lets through leads to no other path', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('.', '/', 'a', '%', '2', 'e', '?', '#', '\\', ' ', 'ü') }),
      (path) => {
        if (pathFault(path) !== null) return;
        expect(new URL(`http://vault.example/v1/${path}`).pathname).toBe(`/v1/${path}`);
      },
    ),
  );
});

test('templating: a parameter stays within one segment of a path', () => {
  const { filters, defaultFilter } = provider.templating;
  expect(defaultFilter(['secrets', 'db', 'path'])).toBe('segment');
  expect(defaultFilter(['secrets', 'ssh', 'data', 'public_key'])).toBe('plain');
  expect(filters.segment!('team-a')).toBe('team-a');
  for (const value of ['..', 'a/b', '', '.', 'a%2fb', 'a?b', '-x'])
    expect(() => filters.segment!(value)).toThrow(RangeError);
});

test('settings: https, or a word that says otherwise; one way to log in', () => {
  const auth = { jwt: { role: 'x' } };
  for (const bad of [
    { address: 'http://vault.example', auth },
    { address: 'https://vault.example', auth, insecure_plaintext: true },
    { address: 'https://vault.example/v1', auth },
    { address: 'https://user:pass@vault.example', auth },
    { address: 'https://vault.example', auth: { ...auth, kubernetes: { role: 'x' } } },
    { address: 'https://vault.example' },
  ])
    expect(provider.settings.safeParse(bad).success, JSON.stringify(bad)).toBe(false);
  expect(provider.settings.parse({ address: 'https://vault.example/', auth })).toMatchObject({
    address: 'https://vault.example',
    token_role: 'hallpass',
  });
});
