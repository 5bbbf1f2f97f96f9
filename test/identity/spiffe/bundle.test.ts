import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { KEYS_STALE_MAX_MS } from '../../../src/identity/jwt/limits.ts';
import { REFRESH_MAX_MS, REFRESH_MIN_MS } from '../../../src/identity/spiffe/limits.ts';
import { issue } from '../../support/authority.ts';
import { chainOf, openSpiffeWorld, WORKLOAD, x509Entry } from './world.ts';

const LASTING = { exp: 4_000_000_000 };

async function world(...args: Parameters<typeof openSpiffeWorld>) {
  const opened = await openSpiffeWorld(...args);
  onTestFinished(() => opened.close());
  const { attestor, runtime } = opened;
  return {
    ...opened,
    verdict: async (evidence: Parameters<typeof attestor.attest>[0]) => {
      const verdict = await attestor.attest(evidence, runtime.now(), new AbortController().signal);
      return verdict === null ? 'null' : verdict.ok ? 'ok' : verdict.error.reason;
    },
    lastingLeaf: () =>
      issue(opened.root, { uris: [WORKLOAD], notAfter: runtime.now() + 86_400_000, subject: 'CN=lasting' }),
  };
}

test('bundle: an empty one refuses all, at once after it was fetched', async () => {
  const { token, publish, bundle, runtime, verdict, root } = await world();
  const leaf = chainOf(await issue(root, { uris: [WORKLOAD] }));
  expect(await verdict(await token(LASTING))).toBe('ok');
  expect(await verdict(leaf)).toBe('ok');
  publish({ ...bundle(), keys: [], spiffe_sequence: 8 });
  await runtime.advance(60_000);
  expect(await verdict(await token(LASTING))).toBe('unknown-key');
  expect(await verdict(leaf)).toBe('unknown-key');
});

test('bundle: is asked for again as its hint says, within bounds', async () => {
  for (const [hint, ms] of [
    [1, REFRESH_MIN_MS],
    [60, 60_000],
    [10_000_000, REFRESH_MAX_MS],
  ] as const) {
    const { token, publish, bundle, runtime, verdict, hits } = await world();
    publish({ ...bundle(), spiffe_refresh_hint: hint });
    expect(await verdict(await token(LASTING))).toBe('ok');
    await runtime.advance(ms - 1_000);
    await verdict(await token(LASTING));
    expect(hits(), `${hint}`).toBe(1);
    await runtime.advance(1_000);
    await verdict(await token(LASTING));
    expect(hits(), `${hint}`).toBe(2);
  }
});

test('bundle: its sequence never goes back, not even after one that changed nothing else', async () => {
  const { token, publish, bundle, runtime, verdict, signer } = await world();
  const old = bundle();
  const oldToken = await token(LASTING);
  expect(await verdict(oldToken)).toBe('ok');
  await signer.rotate();
  publish({ ...bundle(), spiffe_sequence: 9 });
  await runtime.advance(60_000);
  expect(await verdict(oldToken)).toBe('unknown-key');
  publish({ ...bundle(), spiffe_sequence: 12 });
  await runtime.advance(60_000);
  expect(await verdict(await token(LASTING))).toBe('ok');
  for (const sequence of [7, 11, undefined]) {
    publish({ ...old, spiffe_sequence: sequence });
    await runtime.advance(60_000);
    expect(await verdict(oldToken), `${sequence}`).toBe('unknown-key');
    expect(await verdict(await token(LASTING)), `${sequence}`).toBe('ok');
  }
});

test('bundle: keys of other uses and kinds are ignored', async () => {
  for (const use of ['sig', 'x509-svid', 'JWT-SVID', undefined]) {
    const { token, publish, bundle, verdict, signer } = await world();
    publish({ ...bundle(), keys: signer.jwks().keys.map((key) => ({ ...key, use })) });
    expect(await verdict(await token(LASTING)), `${use}`).toBe('unknown-key');
  }
});

test('bundle: a key without a name is ignored', async () => {
  const { token, publish, bundle, verdict, signer } = await world();
  const [{ kid: _, ...key } = { kid: '' }] = signer.jwks().keys;
  publish({ ...bundle(), keys: [{ ...key, use: 'jwt-svid' }] });
  expect(await verdict(await token(LASTING, { header: { kid: undefined } }))).toBe('unknown-key');
});

test('bundle: an outage serves what is known for a while, then nothing', async () => {
  const { token, publish, runtime, verdict, lastingLeaf } = await world();
  const leaf = chainOf(await lastingLeaf());
  expect(await verdict(leaf)).toBe('ok');
  publish(null);
  await runtime.advance(KEYS_STALE_MAX_MS - 1);
  expect(await verdict(leaf)).toBe('ok');
  expect(await verdict(await token(LASTING))).toBe('ok');
  await runtime.advance(1);
  expect(await verdict(leaf)).toBe('keys-unavailable');
  expect(await verdict(await token(LASTING))).toBe('keys-unavailable');
});

test('bundle: what is no bundle proves nothing', async () => {
  for (const document of [
    {},
    { keys: 'x' },
    [],
    { keys: [], spiffe_sequence: -1 },
    { keys: Array(101).fill({}) },
  ]) {
    const { token, publish, verdict } = await world();
    publish(document);
    expect(await verdict(await token()), JSON.stringify(document).slice(0, 40)).toBe('keys-unavailable');
  }
});

test('bundle: a new authority is found at once when a chain names it', async () => {
  const { publish, bundle, runtime, verdict, root } = await world();
  expect(await verdict(chainOf(await issue(root, { uris: [WORKLOAD] })))).toBe('ok');
  const next = await issue(null, { ca: true, subject: 'CN=Next root' });
  publish({
    ...bundle(),
    keys: [x509Entry(root), x509Entry(next)],
    spiffe_sequence: 8,
    spiffe_refresh_hint: 3_600,
  });
  await runtime.advance(30_000);
  expect(await verdict(chainOf(await issue(next, { uris: [WORKLOAD] })))).toBe('ok');
});

test('trust domains: the bundle of one vouches for nobody of another', async () => {
  const here = await world();
  const there = await world({ trust_domain: 'staging.acme.example' });
  const stranger = 'spiffe://staging.acme.example/ns/etl/sa/nightly';
  const forged = chainOf(await issue(here.root, { uris: [stranger] }));
  expect(await here.verdict(forged)).toBe('null');
  // Both roots have the same name: the signature tells them apart.
  expect(await there.verdict(forged)).toBe('signature');
  const token = await here.token({ sub: stranger });
  expect(await here.verdict(token)).toBe('null');
  expect(await there.verdict(token)).toBe('unknown-key');
});

test('bundle file: is read anew, and its absence proves nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-test-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'bundle.json');
  const { token, bundle, runtime, verdict, hits } = await world({ bundle_path: path });
  expect(await verdict(await token(LASTING))).toBe('keys-unavailable');
  await writeFile(path, JSON.stringify(bundle()));
  await runtime.advance(30_000);
  expect(await verdict(await token(LASTING))).toBe('ok');
  await writeFile(path, JSON.stringify({ keys: [], spiffe_sequence: 8 }));
  await runtime.advance(30_000);
  expect(await verdict(await token(LASTING))).toBe('unknown-key');
  expect(hits()).toBe(0);
  expect(runtime.hosts).toEqual([]);
});

test('jwt-svid: every algorithm of the standard is accepted, and no other (3)', async () => {
  const algorithms = [
    'RS256',
    'RS384',
    'RS512',
    'ES256',
    'ES384',
    'ES512',
    'PS256',
    'PS384',
    'PS512',
    'EdDSA',
  ];
  const { token, verdict } = await world({}, { algorithms });
  for (const algorithm of algorithms) {
    const expected = algorithm === 'EdDSA' ? 'algorithm' : 'ok';
    expect(await verdict(await token({}, { algorithm })), algorithm).toBe(expected);
  }
});

test('jwt-svid: needs no iat, takes typ JOSE or none, and other audiences where that is allowed', async () => {
  const { token, verdict } = await world();
  expect(await verdict(await token({ iat: undefined }))).toBe('ok');
  expect(await verdict(await token({}, { header: { typ: 'JOSE' } }))).toBe('ok');
  expect(await verdict(await token({}, { header: { typ: undefined } }))).toBe('ok');
  expect(await verdict(await token({ aud: ['hallpass', 'vault'] }))).toBe('audience');
  const open = await world({ allow_other_audiences: true });
  expect(await open.verdict(await open.token({ aud: ['hallpass', 'vault'] }))).toBe('ok');
});
