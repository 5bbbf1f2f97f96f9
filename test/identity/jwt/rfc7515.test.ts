import { createHash, generateKeyPairSync } from 'node:crypto';
import { compactVerify } from 'jose';
import { expect, test } from 'vitest';
import { createKeySet, readKeys } from '../../../src/identity/jwt/jwks.ts';
import { IDENTITY_TYPES, readClaims, readHeader, splitToken } from '../../../src/identity/jwt/token.ts';

/** RFC 7515, appendix A.2: a JWT signed with RS256, and the public half of its key. */
const KEY = {
  kty: 'RSA',
  n: 'ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ',
  e: 'AQAB',
};
const TOKEN =
  'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw';

test('RFC 7515, A.2: the printed token is read as printed, and verifies with the printed key alone', async () => {
  const parts = splitToken(TOKEN)!;
  expect(readClaims(parts)).toEqual({
    ok: true,
    value: { iss: 'joe', exp: 1300819380, 'http://example.com/is_root': true },
  });
  const header = readHeader(parts, IDENTITY_TYPES);
  expect(header).toEqual({ ok: true, value: { alg: 'RS256' } });

  const keys = readKeys({ keys: [KEY] });
  if (!keys.ok || !header.ok) throw new Error('unreadable');
  const [key] = await createKeySet(keys.value.keys).candidates(header.value);
  await expect(compactVerify(TOKEN, key!)).resolves.toBeDefined();
  const changed = TOKEN.replace('.eyJ', '.eyK');
  await expect(compactVerify(changed, key!)).rejects.toThrow();
  expect(await createKeySet(keys.value.keys).candidates({ alg: 'ES256' })).toEqual([]);
});

test('readKeys: takes no RSA key by which everybody signs: with an exponent of 1 the signature is the text to be signed', async () => {
  const { n = '' } = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
  const signed = `${encoded({ alg: 'RS256' })}.${encoded({ sub: 'anybody' })}`;
  const digest = Buffer.concat([SHA256_PREFIX, createHash('sha256').update(signed).digest()]);
  const padding = Buffer.alloc(256 - 3 - digest.length, 0xff);
  const forged = Buffer.concat([Buffer.from([0, 1]), padding, Buffer.from([0]), digest]).toString(
    'base64url',
  );
  for (const e of ['AQ', 'AAE', 'AAAB']) {
    const keys = readKeys({ keys: [{ kty: 'RSA', n, e }] });
    if (!keys.ok) throw new Error(keys.error);
    for (const key of await createKeySet(keys.value.keys).candidates({ alg: 'RS256' }))
      expect(
        await compactVerify(`${signed}.${forged}`, key).then(
          () => 'taken',
          () => 'refused',
        ),
        e,
      ).toBe('refused');
    expect(keys.value.keys, e).toEqual([]);
  }
});

const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
/** RFC 8017, section 9.2, note 1. */
const SHA256_PREFIX = Buffer.from('3031300d060960864801650304020105000420', 'hex');
