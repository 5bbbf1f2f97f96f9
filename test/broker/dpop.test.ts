import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { exportJWK, SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import { checkProof, PROOF_ALGORITHMS, type ProofContext } from '../../src/broker/dpop.ts';
import { createNonces } from '../../src/broker/nonce.ts';
import { createProver } from '../support/dpop.ts';

// RFC 9449, figures 2 and 12 to 14.
const RFC_KEY =
  'eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19';
const RFC_TOKEN_PROOF = `${RFC_KEY}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg`;
const RFC_RESOURCE_PROOF = `${RFC_KEY}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA`;
const RFC_ACCESS_TOKEN = 'Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU';
const RFC_JKT = '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I';

const NOW = Date.parse('2026-03-04T12:00:00Z');
const URL_HERE = 'https://hallpass.example/v1/tasks';
const TOKEN = 'hpt_token';
const nonces = createNonces(new Uint8Array(32).fill(7));
const context = (over: Partial<ProofContext> = {}): ProofContext => ({
  method: 'POST',
  url: URL_HERE,
  token: TOKEN,
  now: NOW,
  nonceGoodUntil: (nonce) => nonces.goodUntil(nonce, NOW),
  ...over,
});
const about = { url: URL_HERE, token: TOKEN, now: NOW };
const prover = await createProver();

async function verdict(proof: string, over: Partial<ProofContext> = {}): Promise<string> {
  const checked = await checkProof(proof, context(over));
  return checked.ok ? 'ok' : `${checked.error.stale ? 'stale: ' : ''}${checked.error.detail}`;
}

describe("checkProof: the RFC's examples", () => {
  test('at the token endpoint', async () => {
    const checked = await checkProof(
      RFC_TOKEN_PROOF,
      context({ url: 'https://server.example.com/token', token: null, now: 1_562_262_616_000 }),
    );
    expect(checked).toMatchObject({ ok: true, value: { jkt: RFC_JKT } });
  });

  test('with an access token, and not with another', async () => {
    const there = {
      method: 'GET',
      url: 'https://resource.example.org/protectedresource',
      now: 1_562_262_620_000,
    };
    expect(await verdict(RFC_RESOURCE_PROOF, { ...there, token: RFC_ACCESS_TOKEN })).toBe('ok');
    expect(await verdict(RFC_RESOURCE_PROOF, { ...there, token: `${RFC_ACCESS_TOKEN}x` })).toContain('ath');
  });
});

test.each(PROOF_ALGORITHMS.map((alg) => [alg]))('checkProof: takes %s', async (alg) => {
  const other = await createProver(alg);
  expect(await checkProof(await other.prove(about), context())).toMatchObject({
    ok: true,
    value: { jkt: other.jkt },
  });
});

test.each<[string, Parameters<typeof prover.prove>[1]]>([
  ['another method', { claims: { htm: 'GET' } }],
  ['another method in case', { claims: { htm: 'post' } }],
  ['another path', { claims: { htu: `${URL_HERE}/x` } }],
  ['another host', { claims: { htu: 'https://evil.example/v1/tasks' } }],
  ['another port', { claims: { htu: 'https://hallpass.example:8443/v1/tasks' } }],
  ['plain http', { claims: { htu: 'http://hallpass.example/v1/tasks' } }],
  ['a user in the URL', { claims: { htu: 'https://x@hallpass.example/v1/tasks' } }],
  ['a URL that is none', { claims: { htu: '/v1/tasks' } }],
  ['no URL', { claims: { htu: undefined } }],
  ['a list for the URL', { claims: { htu: [URL_HERE] } }],
  ['no jti', { claims: { jti: undefined } }],
  ['an empty jti', { claims: { jti: '' } }],
  ['an endless jti', { claims: { jti: 'x'.repeat(257) } }],
  ['a number for jti', { claims: { jti: 7 } }],
  ['no iat', { claims: { iat: undefined } }],
  ['a string for iat', { claims: { iat: `${NOW / 1000}` } }],
  ['no ath', { claims: { ath: undefined } }],
  ['the ath of another token', { claims: { ath: 'x' } }],
  ['a number for nonce', { claims: { nonce: 7 } }],
  ['typ JWT', { header: { typ: 'JWT' } }],
  ['no typ', { header: { typ: undefined } }],
  ['no key', { header: { jwk: undefined } }],
  ['the key of another', { header: { jwk: (await createProver()).jwk } }],
  ['crit', { header: { crit: ['b64'], b64: true } }],
])('checkProof: refuses %s', async (_, over) => {
  expect(await verdict(await prover.prove(about))).toBe('ok');
  expect(await verdict(await prover.prove(about, over))).not.toMatch(/^ok|^stale/);
});

test('checkProof: a query and a fragment are not part of the URL', async () => {
  expect(await verdict(await prover.prove(about, { claims: { htu: `${URL_HERE}?a=1#b` } }))).toBe('ok');
  const shouted = 'HTTPS://HALLPASS.example:443/v1/tasks';
  expect(await verdict(await prover.prove(about, { claims: { htu: shouted } }))).toBe('ok');
});

test('checkProof: refuses a private key in the header, and a symmetric one', async () => {
  const jwk = await exportJWK(prover.privateKey);
  expect(jwk.d).toBeDefined();
  expect(await verdict(await prover.prove(about, { header: { jwk } }))).toContain('private');

  const key = crypto.getRandomValues(new Uint8Array(32));
  const k = Buffer.from(key).toString('base64url');
  const claims = { jti: '1', htm: 'POST', htu: URL_HERE, iat: NOW / 1000 };
  const sign = (header: Record<string, unknown>, secret: Uint8Array) =>
    new SignJWT(claims).setProtectedHeader({ typ: 'dpop+jwt', alg: 'HS256', ...header }).sign(secret);
  expect(await verdict(await sign({ jwk: { kty: 'oct', k } }, key))).toContain('alg');
  // Signed with the text of a public key as the secret.
  const text = new TextEncoder().encode(JSON.stringify(prover.jwk));
  expect(await verdict(await sign({ jwk: prover.jwk }, text))).toContain('alg');
});

test('checkProof: refuses alg none, and RSA keys out of bounds', async () => {
  const [header, payload] = (await prover.prove(about)).split('.');
  const none = Buffer.from(JSON.stringify({ typ: 'dpop+jwt', alg: 'none', jwk: prover.jwk })).toString(
    'base64url',
  );
  expect(await verdict(`${none}.${payload}.`)).not.toBe('ok');
  expect(await verdict(`${none}.${payload}.AAAA`)).toContain('alg');
  expect(await verdict(`${header}.${payload}`)).toContain('JWS');
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const jwk = publicKey.export({ format: 'jwk' });
  expect(await verdict(await prover.prove(about, { header: { alg: 'ES256', jwk } }))).toContain('2048');
});

test('checkProof: does no arithmetic with a public exponent of any length', async () => {
  const rsa = await createProver('RS256');
  expect(await verdict(await rsa.prove(about))).toBe('ok');
  const jwk = { ...rsa.jwk, e: rsa.jwk.n?.slice(0, -4) };
  expect(await verdict(await rsa.prove(about, { header: { jwk } }))).toContain('exponent');
});

test('checkProof: a proof is good for a minute, and then a fresh nonce makes it good again', async () => {
  const proof = await prover.prove(about);
  expect(await verdict(proof, { now: NOW + 60_000 })).toBe('ok');
  expect(await verdict(proof, { now: NOW + 60_001 })).toMatch(/^stale/);
  expect(await verdict(proof, { now: NOW - 30_000 })).toBe('ok');
  expect(await verdict(proof, { now: NOW - 30_001 })).toMatch(/^stale/);
  const late = { claims: { iat: 1, nonce: nonces.at(NOW) } };
  expect(await verdict(await prover.prove(about, late))).toBe('ok');
  const foreign = { claims: { nonce: createNonces(new Uint8Array(32)).at(NOW) } };
  expect(await verdict(await prover.prove(about, foreign))).toMatch(/^stale/);
});

test('checkProof: a use is remembered for longer than the proof is good', async () => {
  const until = async (over: Parameters<typeof prover.prove>[1]) => {
    const checked = await checkProof(await prover.prove(about, over), context());
    return checked.ok ? checked.value.singleUse.until : 0;
  };
  expect(await until({ claims: { iat: NOW / 1000 + 30 } })).toBeGreaterThan(NOW + 90_000);
  const nonce = nonces.at(NOW);
  expect(await until({ claims: { nonce } })).toBeGreaterThan(nonces.goodUntil(nonce, NOW) ?? Number.NaN);
});

test('checkProof: no mutation of a proof is accepted', async () => {
  const proof = await prover.prove(about);
  const letter = fc.constantFrom(
    ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n',
  );
  const mutation = fc.oneof(
    fc.tuple(fc.nat(proof.length - 1), letter).map(([at, c]) => proof.slice(0, at) + c + proof.slice(at + 1)),
    fc.tuple(fc.nat(proof.length), letter).map(([at, c]) => proof.slice(0, at) + c + proof.slice(at)),
    fc.nat(proof.length - 1).map((at) => proof.slice(0, at) + proof.slice(at + 1)),
  );
  await fc.assert(
    fc.asyncProperty(mutation, async (mutant) => {
      fc.pre(mutant !== proof);
      expect(await verdict(mutant)).not.toBe('ok');
    }),
    { numRuns: 400 },
  );
});

test('checkProof: whatever it is given, it answers', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 60 }), async (text) => {
      expect((await checkProof(text, context())).ok).toBe(false);
    }),
  );
  expect(await verdict('a'.repeat(5_000))).toContain('characters');
});

test('createNonces: good for its period and the next, for all who share the key', () => {
  const start = Math.ceil(NOW / 300_000) * 300_000;
  const nonce = nonces.at(start);
  const replica = createNonces(new Uint8Array(32).fill(7));
  expect(replica.goodUntil(nonce, start)).toBe(start + 600_000);
  expect(replica.goodUntil(nonce, start + 599_999)).toBe(start + 600_000);
  expect(replica.goodUntil(nonce, start + 600_000)).toBeNull();
  // The clock of another replica may be a little behind.
  expect(replica.goodUntil(nonce, start - 1_000)).toBe(start + 600_000);
  expect(replica.goodUntil(nonce, start - 300_001)).toBeNull();
  expect(replica.goodUntil(`${nonce}x`, start)).toBeNull();
  expect(replica.goodUntil('', start)).toBeNull();
});
