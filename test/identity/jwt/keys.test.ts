import { exportJWK, generateKeyPair } from 'jose';
import { expect, onTestFinished, test } from 'vitest';
import {
  KEYS_FETCH_TIMEOUT_MS,
  KEYS_FRESH_MS,
  KEYS_MAX,
  KEYS_RETRY_MS,
  KEYS_STALE_MAX_MS,
  UNKNOWN_KEY_COOLDOWN_MS,
} from '../../../src/identity/jwt/limits.ts';
import { createCertificate } from '../../support/certificates.ts';
import { type IssuerFault, startIssuer } from '../../support/issuer.ts';
import { until } from '../../support/runtime.ts';
import { openWorld } from '../oidc/world.ts';

/** Tokens that outlive the hours these tests move through. */
const LASTING = { exp: 4_000_000_000 };

test('keys: an unknown issuer causes no request, whatever its token says (4)', async () => {
  const { runtime, issuer, verdict } = await openWorld();
  for (const iss of [
    'http://169.254.169.254',
    'https://evil.test',
    `${issuer.url}.evil.test`,
    `${issuer.url}@x`,
    '',
  ]) {
    expect(await verdict(await issuer.sign({ iss })), iss).toBe('null');
  }
  expect(runtime.hosts).toEqual([]);
  expect(issuer.hits()).toEqual({ discovery: 0, keys: 0 });
});

test('keys: discovery and keys are fetched once, and only when needed', async () => {
  const { runtime, issuer, verdict } = await openWorld();
  expect(runtime.hosts).toEqual([]);
  const tokens = await Promise.all(Array.from({ length: 10 }, () => issuer.sign()));
  const verdicts = await Promise.all(tokens.map((token) => verdict(token)));
  expect(new Set(verdicts)).toEqual(new Set(['ok']));
  expect(issuer.hits()).toEqual({ discovery: 1, keys: 1 });
});

test('keys: a redirect is not followed, neither from discovery nor from keys (4)', async () => {
  for (const where of ['discovery', 'keys'] as const) {
    const { runtime, issuer, attest } = await openWorld();
    const inside = await startIssuer();
    onTestFinished(() => inside.close());
    issuer.redirectTo(`${inside.url}/jwks`);
    issuer.fail('redirect', where);
    expect(await attest(await issuer.sign())).toMatchObject({
      error: { reason: 'keys-unavailable', detail: expect.stringContaining('redirect') },
    });
    expect(inside.hits()).toEqual({ discovery: 0, keys: 0 });
    expect(new Set(runtime.hosts)).toEqual(new Set([issuer.host]));
  }
});

test('keys: every fault of the issuer is keys-unavailable, and says which it was (4, 5)', async () => {
  const faults: [IssuerFault, 'discovery' | 'keys', RegExp][] = [
    ['status-500', 'discovery', /HTTP 500/],
    ['status-500', 'keys', /HTTP 500/],
    ['huge', 'discovery', /larger than 65536 bytes/],
    ['huge', 'keys', /larger than 524288 bytes/],
    ['not-json', 'discovery', /not JSON/],
    ['not-json', 'keys', /not JSON/],
    ['wrong-issuer', 'discovery', /another issuer/],
    ['foreign-keys', 'discovery', /"keys\.example\.test".*set jwks_uri/],
  ];
  for (const [fault, where, detail] of faults) {
    const { runtime, issuer, attest } = await openWorld();
    issuer.fail(fault, where);
    expect(await attest(await issuer.sign()), `${fault} ${where}`).toMatchObject({
      ok: false,
      error: { reason: 'keys-unavailable', detail: expect.stringMatching(detail), issuer: 'ci' },
    });
    expect(new Set(runtime.hosts)).toEqual(new Set([issuer.host]));
  }
});

test('keys: an issuer that is not there is keys-unavailable', async () => {
  const { issuer, attest } = await openWorld();
  const token = await issuer.sign();
  await issuer.close();
  expect(await attest(token)).toMatchObject({
    error: { reason: 'keys-unavailable', detail: expect.stringContaining('ECONNREFUSED') },
  });
});

test('keys: an issuer that hangs is given up in time, for all who wait, and asked again later (5)', async () => {
  for (const where of ['discovery', 'keys'] as const) {
    const { runtime, issuer, verdict } = await openWorld();
    issuer.fail('hang', where);
    const token = await issuer.sign();
    const waiting = Promise.all([verdict(token), verdict(token), verdict(token)]);
    await until(() => issuer.hits()[where] === 1, 'the request');
    await runtime.advance(KEYS_FETCH_TIMEOUT_MS);
    expect(await waiting).toEqual(Array(3).fill('keys-unavailable'));
    expect(await verdict(token)).toBe('keys-unavailable');
    expect(issuer.hits()[where]).toBe(1);
    issuer.fail(null);
    await runtime.advance(KEYS_RETRY_MS);
    expect(await verdict(token)).toBe('ok');
  }
});

test('keys: who gives up does not take the fetch from the others', async () => {
  const { runtime, issuer, attest, verdict } = await openWorld();
  const token = await issuer.sign();
  const controller = new AbortController();
  issuer.fail('hang');
  const gone = attest(token, runtime.now(), controller.signal);
  const patient = verdict(token);
  await until(() => issuer.hits().discovery === 1, 'the request');
  controller.abort(new Error('the caller is gone'));
  expect(await gone).toMatchObject({ error: { reason: 'keys-unavailable' } });
  expect(runtime.sleeping()).toBe(1);
  await runtime.advance(KEYS_FETCH_TIMEOUT_MS);
  expect(await patient).toBe('keys-unavailable');
  expect(runtime.sleeping()).toBe(0);
});

test('keys: a flood of unknown key ids fetches once in a cooldown (5)', async () => {
  const { runtime, issuer, verdict } = await openWorld();
  expect(await verdict(await issuer.sign())).toBe('ok');
  const flood = async () => {
    const tokens = await Promise.all(
      Array.from({ length: 50 }, (_, i) => issuer.sign({}, { header: { kid: `unknown-${i}` } })),
    );
    return new Set(await Promise.all(tokens.map((token) => verdict(token))));
  };
  expect(await flood()).toEqual(new Set(['unknown-key']));
  expect(issuer.hits().keys).toBe(1);
  await runtime.advance(UNKNOWN_KEY_COOLDOWN_MS - 1);
  expect(await flood()).toEqual(new Set(['unknown-key']));
  expect(issuer.hits().keys).toBe(1);
  await runtime.advance(1);
  expect(await flood()).toEqual(new Set(['unknown-key']));
  expect(await flood()).toEqual(new Set(['unknown-key']));
  expect(issuer.hits().keys).toBe(2);
  expect(await verdict(await issuer.sign())).toBe('ok');
});

test('keys: a flood of unknown key ids while the issuer fails asks it once in a retry (5)', async () => {
  const { runtime, issuer, verdict } = await openWorld();
  const unknown = () => issuer.sign({}, { header: { kid: 'unknown' } });
  expect(await verdict(await issuer.sign())).toBe('ok');
  issuer.fail('status-500');
  await runtime.advance(UNKNOWN_KEY_COOLDOWN_MS);
  for (let i = 0; i < 5; i++) expect(await verdict(await unknown())).toBe('unknown-key');
  expect(issuer.hits().discovery).toBe(2);
  await runtime.advance(KEYS_RETRY_MS);
  for (let i = 0; i < 5; i++) expect(await verdict(await unknown())).toBe('unknown-key');
  expect(issuer.hits().discovery).toBe(3);
});

test('keys: a rotated key is found at once after the cooldown, and the old one serves while published', async () => {
  const { runtime, issuer, verdict } = await openWorld();
  const old = await issuer.sign();
  expect(await verdict(old)).toBe('ok');
  await issuer.rotate({ keepOld: true });
  await runtime.advance(UNKNOWN_KEY_COOLDOWN_MS);
  expect(await verdict(await issuer.sign())).toBe('ok');
  expect(await verdict(old)).toBe('ok');
});

test('keys: known keys outlast an outage up to a bounded age, then nothing is accepted (5)', async () => {
  for (const fault of ['status-500', 'wrong-issuer', 'huge'] as const) {
    const { runtime, issuer, verdict } = await openWorld();
    const seen = await issuer.sign(LASTING);
    expect(await verdict(seen)).toBe('ok');
    issuer.fail(fault);
    await runtime.advance(KEYS_STALE_MAX_MS - 1);
    expect(await verdict(seen)).toBe('ok');
    expect(await verdict(await issuer.sign(LASTING))).toBe('ok');
    await runtime.advance(1);
    expect(await verdict(seen)).toBe('keys-unavailable');
    expect(await verdict(await issuer.sign(LASTING))).toBe('keys-unavailable');
    issuer.fail(null);
    await runtime.advance(KEYS_RETRY_MS);
    expect(await verdict(seen)).toBe('ok');
  }
});

test('keys: a removed key is noticed when the keys are no longer fresh', async () => {
  const { runtime, issuer, verdict } = await openWorld();
  const token = await issuer.sign(LASTING);
  expect(await verdict(token)).toBe('ok');
  await issuer.rotate();
  await runtime.advance(KEYS_FRESH_MS - 1);
  expect(await verdict(token)).toBe('ok');
  await runtime.advance(1);
  expect(await verdict(token)).toBe('unknown-key');
});

test('keys: an empty key set refuses everything, also what was accepted before (5)', async () => {
  const { runtime, issuer, verdict } = await openWorld();
  const token = await issuer.sign(LASTING);
  expect(await verdict(token)).toBe('ok');
  issuer.fail('empty-keys');
  await runtime.advance(KEYS_FRESH_MS);
  expect(await verdict(token)).toBe('unknown-key');
  expect(await verdict(await issuer.sign())).toBe('unknown-key');
  expect(await verdict(await issuer.sign({}, { header: { kid: undefined } }))).toBe('unknown-key');
});

test('keys: a clock that is set back neither stops fetching nor keeps old keys alive', async () => {
  const { runtime, issuer, verdict } = await openWorld();
  const token = await issuer.sign({ iat: 1, exp: 4_000_000_000 });
  const young = () => issuer.sign(LASTING);
  expect(await verdict(await young())).toBe('ok');
  runtime.jump(-86_400_000);
  expect(await verdict(await young())).toBe('ok');
  expect(issuer.hits().keys).toBe(2);
  issuer.fail('status-500');
  runtime.jump(-86_400_000);
  expect(await verdict(await young())).toBe('keys-unavailable');
  expect(await verdict(token)).not.toBe('ok');
});

test('keys: those that cannot verify signatures are ignored', async () => {
  const { issuer, verdict } = await openWorld();
  const [good] = issuer.jwks().keys;
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const secret = Buffer.from(await crypto.subtle.digest('SHA-256', new Uint8Array(8))).toString('base64url');
  const unusable: unknown[] = [
    { kty: 'oct', k: secret, kid: good?.kid, alg: 'HS256' },
    { kty: 'oct', k: secret },
    { ...(await exportJWK(privateKey)), kid: good?.kid },
    { ...good, use: 'enc' },
    { ...good, use: 'jwt-svid' },
    { ...good, key_ops: ['encrypt'] },
    { ...good, alg: 'ES384' },
    { ...good, crv: 'secp256k1' },
    { ...good, x: undefined },
    { ...good, x: 'AA' },
    { kty: 'RSA', n: Buffer.alloc(128, 0xff).toString('base64url'), e: 'AQAB', kid: good?.kid },
    { kty: 'PQC', kid: good?.kid },
    {},
  ];
  for (const key of unusable) {
    const world = await openWorld();
    world.issuer.publish({ keys: [key] });
    expect(
      await world.verdict(await world.issuer.sign({}, { header: { kid: good?.kid } })),
      JSON.stringify(key),
    ).toBe('unknown-key');
  }
  issuer.publish({ keys: [...unusable.filter((key) => !('k' in (key as object))), good] });
  expect(await verdict(await issuer.sign())).toBe('ok');
});

test('keys: what is no key set of ordinary size is not used', async () => {
  const { issuer } = await openWorld();
  const [good] = issuer.jwks().keys;
  for (const document of [
    [],
    {},
    { keys: {} },
    { keys: [1] },
    { keys: Array(KEYS_MAX + 1).fill(good) },
    'x',
    1,
  ]) {
    const world = await openWorld();
    world.issuer.publish(document);
    expect(await world.verdict(await world.issuer.sign())).toBe('keys-unavailable');
  }
});

test('keys: jwks_uri is asked instead of discovery, also on another host', async () => {
  const keyHost = await startIssuer();
  onTestFinished(() => keyHost.close());
  const { runtime, issuer, verdict } = await openWorld({ jwks_uri: `${keyHost.url}/jwks` });
  keyHost.publish(issuer.jwks());
  expect(await verdict(await issuer.sign())).toBe('ok');
  expect(runtime.hosts).toEqual([keyHost.host]);
  expect(issuer.hits()).toEqual({ discovery: 0, keys: 0 });
});

test('keys: pinned keys need no request at all, and never change', async () => {
  const seed = await startIssuer();
  const pinned = JSON.stringify(seed.jwks());
  const { runtime, issuer, attestor, verdict } = await openWorld(
    { issuer: seed.url, jwks_file: 'keys.json' },
    {},
    { jwks_file: pinned },
  );
  await seed.close();
  const now = { iat: runtime.now() / 1000, exp: runtime.now() / 1000 + 60 };
  expect(attestor.issuer).toBe('ci');
  expect(await verdict(await seed.sign(now))).toBe('ok');
  expect(await verdict(await issuer.sign({ iss: seed.url }))).toBe('unknown-key');
  expect(runtime.hosts).toEqual([]);
});

test('keys: a private CA is trusted where ca_file names it, and nowhere else', async () => {
  const ca = await createCertificate({ name: 'Example Test Root' });
  const tls = await createCertificate({ name: 'issuer', address: '127.0.0.1', signedBy: ca });
  const trusting = await openWorld({ ca_file: 'ca.pem' }, { tls }, { ca_file: ca.cert });
  expect(trusting.issuer.url).toMatch(/^https:/);
  expect(await trusting.verdict(await trusting.issuer.sign())).toBe('ok');
  const usual = await openWorld({}, { tls });
  expect(await usual.verdict(await usual.issuer.sign())).toBe('keys-unavailable');
  const another = await createCertificate({ name: 'Another Root' });
  const mistaken = await openWorld({ ca_file: 'ca.pem' }, { tls }, { ca_file: another.cert });
  expect(await mistaken.verdict(await mistaken.issuer.sign())).toBe('keys-unavailable');
});
