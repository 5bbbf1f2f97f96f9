import { createHmac, createPublicKey } from 'node:crypto';
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose';
import { expect, test, vi } from 'vitest';
import { TOKEN_MAX_CHARS } from '../../../src/identity/jwt/limits.ts';
import { accepted } from '../../conformance/attestor.ts';
import { startIssuer } from '../../support/issuer.ts';
import { openWorld } from './world.ts';

test('attest: refuses a token without exp, iat, sub or aud (1, 2)', async () => {
  const { issuer, verdict } = await openWorld();
  for (const name of ['exp', 'iat', 'sub', 'aud']) {
    expect(await verdict(await issuer.sign({ [name]: undefined })), name).toBe('missing-claim');
    expect(await verdict(await issuer.sign({ [name]: null })), name).toBe('missing-claim');
  }
});

test('attest: accepts only the exact audience, whole and alone (2)', async () => {
  const { issuer, verdict } = await openWorld();
  const aud = async (value: unknown) => verdict(await issuer.sign({ aud: value }));
  expect(await aud('hallpass')).toBe('ok');
  expect(await aud(['hallpass'])).toBe('ok');
  for (const other of ['vault', 'Hallpass', 'hallpass/', 'hallpass,vault', ' hallpass', '', [], ['vault']]) {
    expect(await aud(other), JSON.stringify(other)).toBe('audience');
  }
  expect(await aud(['hallpass', 'vault'])).toBe('audience');
  for (const nonsense of [7, true, { hallpass: true }, ['hallpass', 7], Array(40).fill('hallpass')]) {
    expect(await aud(nonsense), JSON.stringify(nonsense)).toBe('malformed');
  }
});

test('attest: accepts further audiences where that is allowed, and each of several of its own (2)', async () => {
  const { issuer, verdict } = await openWorld({ audience: ['one', 'two'], allow_other_audiences: true });
  expect(await verdict(await issuer.sign({ aud: ['two', 'vault'] }))).toBe('ok');
  expect(await verdict(await issuer.sign({ aud: ['one', 'two'] }))).toBe('ok');
  expect(await verdict(await issuer.sign({ aud: ['vault'] }))).toBe('audience');
  const strict = await openWorld({ audience: ['one', 'two'] });
  expect(await strict.verdict(await strict.issuer.sign({ aud: ['one', 'two'] }))).toBe('ok');
});

test('attest: refuses unsigned tokens in every spelling (3)', async () => {
  const { issuer, verdict } = await openWorld();
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
    const [, payload, signature] = (await issuer.sign()).split('.');
    const header = Buffer.from(JSON.stringify({ ...issuer.header(), alg })).toString('base64url');
    expect(await verdict(`${header}.${payload}.`), alg).toBe('algorithm');
    expect(await verdict(`${header}.${payload}.${signature}`), alg).toBe('algorithm');
  }
});

test('attest: refuses a MAC made with the public key (3)', async () => {
  const { issuer, verdict } = await openWorld({ algorithms: ['RS256'] }, { algorithms: ['RS256'] });
  expect(await verdict(await issuer.sign())).toBe('ok');
  const [jwk] = issuer.jwks().keys;
  const pem = createPublicKey({ key: jwk as Record<string, string>, format: 'jwk' }).export({
    type: 'spki',
    format: 'pem',
  });
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part({ alg: 'HS256', typ: 'JWT', kid: jwk?.kid })}.${part(issuer.claims())}`;
  for (const secret of [pem, String(pem).trim(), JSON.stringify(jwk)]) {
    const mac = createHmac('sha256', secret).update(input).digest('base64url');
    expect(await verdict(`${input}.${mac}`)).toBe('algorithm');
  }
});

test('attest: refuses an algorithm that is not listed, and one that does not fit the key (3)', async () => {
  const { issuer, verdict } = await openWorld(
    { algorithms: ['RS256', 'PS256'] },
    { algorithms: ['RS256', 'ES256', 'PS256'] },
  );
  expect(await verdict(await issuer.sign())).toBe('ok');
  expect(await verdict(await issuer.sign({}, { algorithm: 'PS256' }))).toBe('ok');
  expect(await verdict(await issuer.sign({}, { algorithm: 'ES256' }))).toBe('algorithm');
  const kidOfPs256 = issuer.jwks().keys[2]?.kid;
  expect(await verdict(await issuer.sign({}, { header: { kid: kidOfPs256 } }))).toBe('unknown-key');
});

test('attest: refuses the key of another issuer under its own kid and under ours (3)', async () => {
  const { runtime, issuer, verdict } = await openWorld();
  const stranger = await startIssuer({ now: runtime.now });
  const claims = { iss: issuer.url };
  expect(await verdict(await stranger.sign(claims))).toBe('unknown-key');
  expect(await verdict(await stranger.sign(claims, { header: { kid: issuer.header().kid } }))).toBe(
    'signature',
  );
  expect(await verdict(await stranger.sign(claims, { header: { kid: undefined } }))).toBe('signature');
  await stranger.close();
});

test('attest: refuses headers that bring a key or a rule, though the signature is good, and fetches nothing (3)', async () => {
  const { runtime, issuer, attest } = await openWorld();
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = await exportJWK(publicKey);
  const headers: Record<string, unknown>[] = [
    { jwk },
    { jku: 'http://127.0.0.1:9/jwks' },
    { x5u: 'http://127.0.0.1:9/certificate' },
    { crit: ['exp'] },
    { crit: ['b64'], b64: true },
  ];
  for (const extra of headers) {
    const header = { ...issuer.header(), ...extra };
    const signed = issuer.signBytes(JSON.stringify(header), JSON.stringify(issuer.claims()));
    expect(await attest(signed), JSON.stringify(extra)).toMatchObject({ error: { reason: 'malformed' } });
  }
  const ownKey = await new SignJWT(issuer.claims())
    .setProtectedHeader({ ...issuer.header(), alg: 'ES256', jwk })
    .sign(privateKey);
  expect(await attest(ownKey)).toMatchObject({ error: { reason: 'malformed', issuer: 'ci' } });
  expect(runtime.hosts).toEqual([]);
});

test('attest: never uses the certificate chain of the header (3)', async () => {
  const { issuer, verdict } = await openWorld();
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const forged = await new SignJWT(issuer.claims())
    .setProtectedHeader({
      ...issuer.header(),
      alg: 'ES256',
      x5c: [(await exportSPKI(publicKey)).split('\n')[1]!],
    })
    .sign(privateKey);
  expect(await verdict(forged)).toBe('signature');
});

test('attest: refuses tokens of another kind (RFC 8725, section 3.11)', async () => {
  const { issuer, verdict } = await openWorld();
  const typ = async (value: unknown) => verdict(await issuer.sign({}, { header: { typ: value } }));
  for (const good of [undefined, 'JWT', 'jwt', 'JOSE', 'at+jwt', 'application/at+JWT'])
    expect(await typ(good)).toBe('ok');
  for (const bad of ['logout+jwt', 'dpop+jwt', 'secevent+jwt', '']) expect(await typ(bad)).toBe('malformed');
});

test('attest: a token without kid is tried against the keys that fit its algorithm', async () => {
  const { issuer, verdict } = await openWorld();
  await issuer.rotate({ keepOld: true });
  expect(await verdict(await issuer.sign({}, { header: { kid: undefined } }))).toBe('ok');
});

test('attest: one token used twice, also at once, carries one id (14)', async () => {
  const { issuer, attest } = await openWorld({ single_use: true });
  const tokens = [await issuer.sign(), await issuer.sign({ jti: undefined })];
  for (const token of tokens) {
    const uses = await Promise.all([attest(token), attest(token), attest(token)]);
    const ids = new Set(uses.map((use) => accepted(use).proof.singleUse?.id));
    expect(ids.size).toBe(1);
    expect([...ids][0]).toMatch(/^ci:(jti|token):[\w-]{43}$/);
  }
  const [one, two] = [await issuer.sign({ jti: 'x' }), await issuer.sign({ jti: 'x', extra: 1 })];
  expect(accepted(await attest(one)).proof.singleUse).toEqual(accepted(await attest(two)).proof.singleUse);
});

test('attest: a second signature that anyone can make from the first is the same use (14)', async () => {
  const { issuer, attest } = await openWorld({ single_use: true });
  const token = await issuer.sign({ jti: undefined });
  const twin = withMirroredSignature(token);
  expect(twin).not.toBe(token);
  const [first, second] = [accepted(await attest(token)), accepted(await attest(twin))];
  expect(second.proof.evidenceHash).not.toBe(first.proof.evidenceHash);
  expect(second.proof.singleUse).toEqual(first.proof.singleUse);
});

test("attest: asks for no single use unless the issuer's entry does", async () => {
  const { issuer, attest } = await openWorld();
  expect(accepted(await attest(await issuer.sign())).proof).not.toHaveProperty('singleUse');
});

test('attest: the claims are those that were signed, member by member and type by type (15)', async () => {
  const { issuer, attest } = await openWorld();
  const claims = {
    ...issuer.claims(),
    text: 'true',
    truth: true,
    number: 7,
    digits: '7',
    list: ['a,b', 'c'],
    'kubernetes.io': { namespace: 'n', pod: { uid: 'u' } },
    constructor: 'mine',
    __proto__x: null,
  };
  const token = issuer.signBytes(JSON.stringify(issuer.header()), JSON.stringify(claims));
  const principal = accepted(await attest(token));
  expect(JSON.parse(JSON.stringify(principal.claims))).toEqual(claims);
  expect(principal.claims.toString).toBeUndefined();
});

test('attest: a claim named __proto__ is a claim and nothing else (15)', async () => {
  const { issuer, attest } = await openWorld();
  const payload = JSON.stringify(issuer.claims()).replace('{', '{"__proto__":{"admin":true},');
  const principal = accepted(await attest(issuer.signBytes(JSON.stringify(issuer.header()), payload)));
  expect(Object.hasOwn(principal.claims, '__proto__')).toBe(true);
  expect(principal.claims.admin).toBeUndefined();
});

test('attest: refuses names given twice, however they are spelled, in header and payload (15, 18)', async () => {
  const { issuer, attest } = await openWorld();
  const [header, payload] = [JSON.stringify(issuer.header()), JSON.stringify(issuer.claims())];
  const twice = [
    issuer.signBytes(header, payload.replace('{', '{"sub":"admin",')),
    issuer.signBytes(header, payload.replace('{', '{"s\\u0075b":"admin",')),
    issuer.signBytes(header, payload.replace('{', '{"deep":{"a":[{"b":1,"b":2}]},')),
    issuer.signBytes(header.replace('{', '{"alg":"none",'), payload),
  ];
  for (const token of twice) {
    const verdict = await attest(token);
    expect(verdict).toMatchObject({
      error: { reason: 'malformed', detail: expect.stringContaining('twice') },
    });
  }
  expect(accepted(await attest(issuer.signBytes(header, payload))).subject).toBe('workload');
});

test('attest: refuses what is no text, too deep, too wide or too long (18)', async () => {
  const { runtime, issuer, attest, verdict } = await openWorld();
  const header = JSON.stringify(issuer.header());
  const payload = JSON.stringify(issuer.claims());
  const withMember = (member: string) => issuer.signBytes(header, payload.replace('{', `{${member},`));
  const malformed: Record<string, string> = {
    'invalid UTF-8': issuer.signBytes(header, Buffer.from(payload.replace('workload', 'w\xffrk'), 'latin1')),
    'overlong UTF-8': issuer.signBytes(
      header,
      Buffer.from(payload.replace('workload', 'w\xc0\xaf'), 'latin1'),
    ),
    'a byte order mark': issuer.signBytes(header, `\ufeff${payload}`),
    'a lone surrogate': withMember('"x":"\\ud800"'),
    'a NUL': withMember('"x":"\\u0000"'),
    'a NUL in a name': withMember('"\\u0000":1'),
    'deep objects': withMember(`"x":${'{"x":'.repeat(20)}1${'}'.repeat(20)}`),
    'very deep lists': withMember(`"x":${'['.repeat(4_000)}${']'.repeat(4_000)}`),
    'many members': withMember(Array.from({ length: 600 }, (_, i) => `"m${i}":1`).join(',')),
    'an id beyond exact numbers': withMember('"id":9007199254740993'),
    'a number beyond all bounds': withMember('"x":1e999'),
    'a list': issuer.signBytes(header, '[]'),
    'a header that is a string': issuer.signBytes('"ES256"', payload),
    'text after the object': issuer.signBytes(header, `${payload}{}`),
  };
  for (const [what, token] of Object.entries(malformed)) {
    expect(await attest(token), what).toMatchObject({ ok: false, error: { reason: 'malformed' } });
  }
  expect(await verdict(await issuer.sign({ x: 'x'.repeat(TOKEN_MAX_CHARS) }))).toBe('too-large');
  expect(await verdict('a.b.c'.padEnd(3_000_000, 'x'))).toBe('too-large');
  expect(runtime.hosts).toEqual([]);
});

test('attest: times are numbers of seconds, whole or not, and nothing else (18)', async () => {
  const { runtime, issuer, verdict } = await openWorld({ clock_tolerance_seconds: 0 });
  const seconds = runtime.now() / 1000;
  const header = JSON.stringify(issuer.header());
  for (const name of ['exp', 'iat', 'nbf']) {
    for (const literal of [
      '"1800000000"',
      'true',
      '-1',
      '-0.5',
      '1e30',
      '253402300800',
      '[1]',
      '{}',
      '1e999',
    ]) {
      const { [name]: _, ...others } = issuer.claims();
      const payload = JSON.stringify(others).replace('{', `{"${name}":${literal},`);
      expect(await verdict(issuer.signBytes(header, payload)), `${name} ${literal}`).toBe('malformed');
    }
  }
  const fractional = await issuer.sign({ iat: seconds - 9.75, nbf: seconds - 0.5, exp: seconds + 0.25 });
  expect(await verdict(fractional, runtime.now() - 501)).toBe('not-yet-valid');
  expect(await verdict(fractional, runtime.now() + 249)).toBe('ok');
  expect(await verdict(fractional, runtime.now() + 250)).toBe('expired');
  expect(await verdict(await issuer.sign({ iat: 0, exp: 253402300799 }))).toBe('too-old');
});

test('attest: subjects and token ids are short printable strings, uncoerced (18)', async () => {
  const { issuer, verdict } = await openWorld();
  for (const sub of ['', 7, ['workload'], { a: 1 }, 'x'.repeat(2_049), 'a\nb', 'a\u0085b', 'a\u001b[31m']) {
    expect(await verdict(await issuer.sign({ sub })), JSON.stringify(sub)).toBe('malformed');
  }
  for (const jti of ['', 7, ['x'], 'x'.repeat(1_025)]) {
    expect(await verdict(await issuer.sign({ jti })), JSON.stringify(jti)).toBe('malformed');
  }
  expect(await verdict(await issuer.sign({ sub: 'repo:O/R:ref:refs/heads/main – “ü”' }))).toBe('ok');
});

test('attest: a token is refused when it is older than allowed, whatever its exp', async () => {
  const { runtime, issuer, verdict } = await openWorld({ max_age_seconds: 60, clock_tolerance_seconds: 5 });
  const token = await issuer.sign({ exp: runtime.now() / 1000 + 1_000_000 });
  expect(await verdict(token, runtime.now() + 54_999)).toBe('ok');
  expect(await verdict(token, runtime.now() + 55_000)).toBe('too-old');
});

test('attest: a token issued in the future is refused', async () => {
  const { runtime, issuer, verdict } = await openWorld({ clock_tolerance_seconds: 5 });
  const iat = runtime.now() / 1000 + 5;
  expect(await verdict(await issuer.sign({ iat }))).toBe('ok');
  expect(await verdict(await issuer.sign({ iat: iat + 0.001 }))).toBe('not-yet-valid');
});

/** The signature (r, n - s) for (r, s): as valid as the first (the curve's order n is of SEC 2, section 2.4.2). */
function withMirroredSignature(token: string): string {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const [header, payload, signature] = token.split('.');
  const bytes = Buffer.from(signature!, 'base64url');
  const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`);
  const mirrored = Buffer.from((order - s).toString(16).padStart(64, '0'), 'hex');
  return `${header}.${payload}.${Buffer.concat([bytes.subarray(0, 32), mirrored]).toString('base64url')}`;
}

test('attest: keeps what it verified, without verifying again, and still checks the times', async () => {
  const { runtime, issuer, attest, verdict } = await openWorld({ clock_tolerance_seconds: 0 });
  const token = await issuer.sign({ nbf: runtime.now() / 1000 - 5 });
  const verify = vi.spyOn(crypto.subtle, 'verify');
  const first = await attest(token);
  const second = await attest(token);
  expect(verify).toHaveBeenCalledTimes(1);
  expect(accepted(second)).toBe(accepted(first));
  expect(await verdict(token, runtime.now() + 590_000)).toBe('expired');
  expect(await verdict(token, runtime.now() - 5_001)).toBe('not-yet-valid');
  expect(await verdict(token)).toBe('ok');
  expect(verify).toHaveBeenCalledTimes(1);
  verify.mockRestore();
});

test('attest: does not keep what it refused', async () => {
  const { issuer, verdict } = await openWorld();
  const verify = vi.spyOn(crypto.subtle, 'verify');
  const token = await issuer.sign({ aud: 'vault' });
  expect([await verdict(token), await verdict(token)]).toEqual(['audience', 'audience']);
  expect(verify).toHaveBeenCalledTimes(2);
  verify.mockRestore();
});

test('attest: a withdrawn key takes the tokens with it that it had verified', async () => {
  const { runtime, issuer, verdict } = await openWorld();
  const token = await issuer.sign();
  expect(await verdict(token)).toBe('ok');
  await issuer.rotate();
  expect(await verdict(token)).toBe('ok');
  await runtime.advance(30_000);
  expect(await verdict(await issuer.sign())).toBe('ok');
  expect(await verdict(token)).toBe('unknown-key');
});

test('attest: a key of the right kid but another curve or kind does not verify', async () => {
  const { issuer, verdict } = await openWorld({}, { algorithms: ['ES256', 'Ed25519'] });
  const [es256, ed25519] = issuer.jwks().keys;
  issuer.publish({ keys: [{ ...ed25519, kid: es256?.kid, alg: 'ES256' }] });
  expect(await verdict(await issuer.sign())).toBe('unknown-key');
});
