import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { describe, expect, test } from 'vitest';
import { readCertificate, readPemCertificates } from '../../../src/identity/x509/certificate.ts';
import { findPath, readChain } from '../../../src/identity/x509/path.ts';
import { authority, type Issued, issue } from '../../support/authority.ts';
import { TEST_EPOCH } from '../../support/runtime.ts';

function anchorsOf(...roots: readonly Issued[]) {
  return roots.map(({ der }) => {
    const read = readCertificate(der);
    if (!read.ok) throw new Error(read.error);
    return read.value;
  });
}

/** In one word: `ok` with the length of the path, or the reason. */
function pathOf(chain: readonly Issued[], roots: readonly Issued[], now = TEST_EPOCH): string {
  const read = readChain(chain.map(({ der }) => der));
  if (!read.ok) return read.error.reason;
  const path = findPath(read.value, anchorsOf(...roots), now);
  return path.ok ? `ok ${path.value.length}` : path.error.reason;
}

test('findPath: from the leaf by any order of authorities to an anchor, with useless ones beside', async () => {
  const root = await authority({ subject: 'CN=root' });
  const one = await issue(root, { ca: true, subject: 'CN=one' });
  const two = await issue(one, { ca: true, subject: 'CN=two' });
  const leaf = await issue(two, {});
  const other = await authority({ subject: 'CN=other' });
  expect(pathOf([leaf, two, one], [root])).toBe('ok 4');
  expect(pathOf([leaf, one, two], [root])).toBe('ok 4');
  expect(pathOf([leaf, other, root, one, two], [other, root])).toBe('ok 4');
  expect(pathOf([leaf, two], [one])).toBe('ok 3');
  expect(pathOf([leaf, two], [root])).toBe('unknown-key');
  expect(pathOf([leaf, two, one], [])).toBe('unknown-key');
});

test('findPath: an authority of the same name and another key is another', async () => {
  const root = await authority({ subject: 'CN=root' });
  const impostor = await authority({ subject: 'CN=root' });
  const renewed = await authority({ subject: 'CN=root' });
  const leaf = await issue(root, {});
  expect(pathOf([leaf], [impostor])).toBe('signature');
  expect(pathOf([leaf], [impostor, root])).toBe('ok 2');
  expect(pathOf([await issue(renewed, {})], [root, renewed])).toBe('ok 2');
});

test('findPath: each authority must be one, may sign, and counts those below it', async () => {
  const root = await authority({ subject: 'CN=root', pathLength: 1 });
  const short = await issue(root, { ca: true, subject: 'CN=short', pathLength: 0 });
  const mute = await issue(root, {
    ca: true,
    subject: 'CN=mute',
    usage: x509.KeyUsageFlags.digitalSignature,
  });
  const long = await issue(root, { ca: true, subject: 'CN=long' });
  const longer = await issue(long, { ca: true, subject: 'CN=longer' });
  const free = await issue(root, { ca: true, subject: 'CN=free', usage: null });
  expect(pathOf([await issue(short, {}), short], [root])).toBe('ok 3');
  expect(pathOf([await issue(free, {}), free], [root])).toBe('ok 3');
  expect(pathOf([await issue(mute, {}), mute], [root])).not.toMatch(/^ok/);
  expect(pathOf([await issue(longer, {}), longer, long], [root])).toBe('certificate');
  const leaf = await issue(root, { subject: 'CN=leaf' });
  expect(pathOf([await issue(leaf, {}), leaf], [root])).not.toMatch(/^ok/);
});

test('findPath: an authority with purposes vouches for clients where these are among them', async () => {
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const root = await authority({ subject: 'CN=root' });
  const of = async (extendedUsage: string[]) => {
    const between = await issue(root, { ca: true, subject: 'CN=between', extendedUsage });
    return pathOf([await issue(between, {}), between], [root]);
  };
  expect(await of([serverAuth, clientAuth])).toBe('ok 3');
  expect(await of(['2.5.29.37.0'])).toBe('ok 3');
  expect(await of([serverAuth])).toBe('certificate');
  const servers = await authority({ subject: 'CN=servers', extendedUsage: [serverAuth] });
  expect(pathOf([await issue(servers, {})], [servers])).toBe('certificate');
});

test('findPath: every certificate on it must be in its time, the anchor too', async () => {
  const hour = 3_600_000;
  const root = await authority({ subject: 'CN=root', notAfter: TEST_EPOCH + 2 * hour });
  const brief = await issue(root, { ca: true, subject: 'CN=brief', notAfter: TEST_EPOCH + 1_000 });
  const leaf = await issue(brief, { notAfter: TEST_EPOCH + 10 * hour });
  const direct = await issue(root, { notAfter: TEST_EPOCH + 10 * hour });
  expect(pathOf([leaf, brief], [root], TEST_EPOCH + 1_000)).toBe('ok 3');
  expect(pathOf([leaf, brief], [root], TEST_EPOCH + 1_001)).toBe('expired');
  expect(pathOf([direct], [root], TEST_EPOCH + 2 * hour)).toBe('ok 2');
  expect(pathOf([direct], [root], TEST_EPOCH + 2 * hour + 1)).toBe('expired');
  expect(pathOf([direct], [root], TEST_EPOCH - hour - 1)).toBe('not-yet-valid');
});

test('findPath: authorities that vouch for one another in a circle end', async () => {
  const a = await authority({ subject: 'CN=a' });
  const b = await authority({ subject: 'CN=b' });
  const ab = await issue(a, { ca: true, subject: 'CN=b', signedWith: a.keys.privateKey });
  const ba = await issue(b, { ca: true, subject: 'CN=a', signedWith: b.keys.privateKey });
  const root = await authority({ subject: 'CN=root' });
  expect(pathOf([await issue(a, {}), ab, ba, a, b], [root])).not.toMatch(/^ok/);
});

test('readCertificate: refuses what it does not understand and must', async () => {
  const constraints = new x509.Extension('2.5.29.30', false, Buffer.from('3000', 'hex'));
  const unknown = (critical: boolean) =>
    new x509.Extension('1.2.3.4.5', critical, Buffer.from('0500', 'hex'));
  const read = async (extensions: x509.Extension[]) =>
    readCertificate((await issue(null, { extensions })).der);
  expect(await read([unknown(false)])).toMatchObject({ ok: true });
  expect(await read([unknown(true)])).toMatchObject({
    ok: false,
    error: expect.stringMatching(/1\.2\.3\.4\.5/),
  });
  expect(await read([constraints])).toMatchObject({
    ok: false,
    error: expect.stringMatching(/name constraints/),
  });
  const { der } = await issue(null, {});
  expect(readCertificate(Buffer.concat([der, Buffer.from([0])])).ok).toBe(false);
  expect(readCertificate(der.subarray(0, -1)).ok).toBe(false);
  expect(readCertificate(new Uint8Array(20_000)).ok).toBe(false);
  expect(readCertificate(new Uint8Array(0)).ok).toBe(false);
});

describe('readCertificate: RSASSA-PSS', () => {
  const FORGEABLE = { ok: false, error: 'its signature is over a digest that can be forged' };

  async function signedOver(hash: string) {
    const algorithm = { name: 'RSA-PSS', hash, modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) };
    const signingAlgorithm = { ...algorithm, saltLength: 20 };
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    return x509.X509CertificateGenerator.createSelfSigned({ name: 'CN=a', keys, signingAlgorithm });
  }

  test.each(['SHA-256', 'SHA-384', 'SHA-512'])('is read over %s', async (hash) => {
    const { rawData } = await signedOver(hash);
    expect(readCertificate(new Uint8Array(rawData))).toMatchObject({ ok: true });
  });

  test('is refused over SHA-1', async () => {
    const { rawData } = await signedOver('SHA-1');
    expect(readCertificate(new Uint8Array(rawData))).toEqual(FORGEABLE);
  });

  test('is refused where no digest is named, as openssl writes SHA-1', (context) => {
    const pss = '-sha1 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20';
    const words = `req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=a -outform DER ${pss}`;
    try {
      execFileSync('openssl', ['version']);
    } catch {
      return context.skip('needs openssl (Debian openssl)');
    }
    const der = execFileSync('openssl', words.split(' '), { stdio: 'pipe' });
    expect(readCertificate(der)).toEqual(FORGEABLE);
  });
});

test('readCertificate: refuses an RSA key whose exponent signs nothing, or costs whoever verifies', async () => {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { n = '', e: usual } = publicKey.export({ format: 'jwk' });
  const root = await authority();
  const withExponent = async (e: string) => {
    const jwk = { kty: 'RSA', n, e };
    const key = await webcrypto.subtle.importKey('jwk', jwk, algorithm, true, ['verify']);
    const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };
    const signingKey = root.keys.privateKey;
    const { rawData } = await x509.X509CertificateGenerator.create({
      publicKey: key,
      signingKey,
      signingAlgorithm,
    });
    return readCertificate(new Uint8Array(rawData));
  };
  expect(await withExponent(usual ?? '')).toMatchObject({ ok: true });
  for (const odd of ['AQ', n.slice(0, -4)])
    expect(await withExponent(odd)).toEqual({ ok: false, error: expect.stringContaining('exponent') });
});

test('readCertificate: a name with a control character is none', async () => {
  expect(readCertificate((await issue(null, { dns: ['a\0.acme.example'] })).der).ok).toBe(false);
  expect(readCertificate((await issue(null, { dns: ['a.acme.example'] })).der).ok).toBe(true);
});

test('readPemCertificates: all of a file or none', async () => {
  const [a, b] = [await authority({ subject: 'CN=a' }), await authority({ subject: 'CN=b' })];
  expect(readPemCertificates(`${a.pem}\n${b.pem}`)).toMatchObject({ ok: true, value: { length: 2 } });
  expect(readPemCertificates('')).toMatchObject({ ok: false });
  const broken = b.pem.replace(/\n.{8}/, '\n????????');
  expect(readPemCertificates(`${a.pem}\n${broken}`).ok).toBe(false);
});
