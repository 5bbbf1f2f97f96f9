import { exportJWK, generateKeyPair } from 'jose';
import { expect, test } from 'vitest';
import { oidcSettings, resolveOidcSettings } from '../../../src/identity/oidc/settings.ts';
import { createCertificate } from '../../support/certificates.ts';

const minimal = { type: 'oidc', issuer: 'https://ci.example.com', audience: 'hallpass' };

/** The faults of settings, as `path: message`. */
function faults(own: Record<string, unknown>): string[] {
  const parsed = oidcSettings.safeParse({ ...minimal, ...own });
  if (parsed.success) return [];
  return parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
}

test('oidcSettings: an issuer and an audience suffice, and the defaults are the safe ones', () => {
  const resolved = resolveOidcSettings(oidcSettings.parse(minimal));
  expect(resolved).toEqual({
    ok: true,
    value: {
      issuer: 'https://ci.example.com',
      audiences: ['hallpass'],
      allowOtherAudiences: false,
      algorithms: ['RS256', 'ES256'],
      keys: { kind: 'discovery' },
      allowInsecureHttp: false,
      maxAgeSeconds: 86_400,
      clockToleranceSeconds: 30,
      singleUse: false,
      requiredClaims: [],
    },
  });
});

test('oidcSettings: refuses unknown keys, missing keys and wrong types', () => {
  expect(faults({ audiences: ['x'] })).toEqual([expect.stringContaining('audiences')]);
  for (const key of ['issuer', 'audience', 'type']) expect(faults({ [key]: undefined })).toHaveLength(1);
  for (const audience of ['', [], [''], 7, [7]]) expect(faults({ audience })).not.toEqual([]);
  for (const seconds of [0, -1, 1.5, '60', 2_678_401])
    expect(faults({ max_age_seconds: seconds })).toHaveLength(1);
  for (const seconds of [-1, 301, 0.5]) expect(faults({ clock_tolerance_seconds: seconds })).toHaveLength(1);
  expect(faults({ clock_tolerance_seconds: 0, max_age_seconds: 1 })).toEqual([]);
});

test('oidcSettings: refuses algorithms without a public key, and says why', () => {
  for (const algorithm of ['none', 'HS256', 'HS384', 'HS512']) {
    expect(faults({ algorithms: ['ES256', algorithm] })).toEqual([
      expect.stringMatching(/^algorithms\.1: Cannot accept ".+": such a token can be made by anyone/),
    ]);
  }
  expect(faults({ algorithms: ['es256'] })).toEqual([expect.stringContaining('RS256, RS384')]);
  expect(faults({ algorithms: [] })).toHaveLength(1);
  expect(faults({ algorithms: ['PS512', 'EdDSA', 'ES512'] })).toEqual([]);
});

test('oidcSettings: issuers are https URLs without query, fragment or user', () => {
  const bad = [
    'ci.example.com',
    'ftp://ci.example.com',
    'file:///etc/passwd',
    'https://ci.example.com?x=1',
    'https://ci.example.com#x',
    'https://user@ci.example.com',
    'http://ci.example.com',
    'http://127.0.0.1:8080',
  ];
  for (const issuer of bad)
    expect(faults({ issuer }), issuer).toEqual([expect.stringMatching(/^issuer: Cannot/)]);
  for (const issuer of [
    'https://ci.example.com/',
    'https://ci.example.com/tenant',
    'https://10.0.0.1:6443',
  ]) {
    expect(faults({ issuer }), issuer).toEqual([]);
  }
});

test('oidcSettings: http is for loopback alone, and only when allowed', () => {
  const allowed = (url: string) => faults({ issuer: url, jwks_uri: url, allow_insecure_http: true });
  for (const url of ['http://127.0.0.1:1', 'http://localhost:1', 'http://[::1]:1', 'http://127.9.9.9']) {
    expect(allowed(url), url).toEqual([]);
  }
  for (const url of [
    'http://ci.example.com',
    'http://localhost.example.com',
    'http://127.0.0.1.example.com',
    'http://10.0.0.1',
    'http://0.0.0.0',
    'http://[::]',
    'http://127.example.com',
  ]) {
    expect(allowed(url), url).toHaveLength(2);
  }
  expect(faults({ jwks_uri: 'http://localhost/keys' })).toHaveLength(1);
});

test('oidcSettings: a pinned file excludes what would never be used', () => {
  const own = { jwks_file: 'k.json', jwks_uri: 'https://ci.example.com/k', ca_file: 'ca.pem' };
  expect(faults(own)).toEqual([
    expect.stringContaining('jwks_uri: Cannot be set beside jwks_file'),
    expect.stringContaining('ca_file: Cannot be set beside jwks_file'),
  ]);
});

test('resolveOidcSettings: reads pinned keys, and refuses files that hold none or disclose one', async () => {
  const pinned = (text?: string) =>
    resolveOidcSettings(
      oidcSettings.parse({ ...minimal, jwks_file: 'k.json' }),
      text === undefined ? {} : { jwks_file: text },
    );
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  const good = pinned(JSON.stringify({ keys: [{ ...jwk, x5c: ['ignored'] }, { kty: 'new' }] }));
  expect(good).toMatchObject({ ok: true, value: { keys: { kind: 'pinned', keys: [jwk] } } });
  const bad: [string | undefined, RegExp][] = [
    [undefined, /was not read/],
    ['', /not JSON/],
    ['[]', /not a JWK Set/],
    ['{"keys":[]}', /no public key/],
    [JSON.stringify({ keys: [{ ...jwk, use: 'enc' }] }), /no public key/],
    [JSON.stringify({ keys: [jwk, await exportJWK(privateKey)] }), /private or symmetric/],
    [JSON.stringify({ keys: [jwk, { kty: 'oct', k: 'AA' }] }), /private or symmetric/],
  ];
  for (const [text, message] of bad) {
    const fault = { setting: 'jwks_file', message: expect.stringMatching(message) };
    expect(pinned(text)).toEqual({ ok: false, error: [fault] });
  }
});

test('resolveOidcSettings: reads a CA, and refuses files that hold none', async () => {
  const withCa = (text?: string) =>
    resolveOidcSettings(
      oidcSettings.parse({ ...minimal, ca_file: 'ca.pem' }),
      text === undefined ? {} : { ca_file: text },
    );
  const { cert } = await createCertificate({ name: 'Root' });
  expect(withCa(cert)).toMatchObject({ ok: true, value: { ca: cert, keys: { kind: 'discovery' } } });
  const broken = cert.replace(/[A-Za-z0-9]{20}/, 'AAAAAAAAAAAAAAAAAAAA');
  for (const text of [undefined, '', 'not PEM', broken]) {
    expect(withCa(text)).toMatchObject({ ok: false, error: [{ setting: 'ca_file' }] });
  }
});
