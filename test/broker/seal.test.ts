import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { sealFor } from '../../src/broker/seal.ts';

const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const { kty = '', n = '', e = '' } = publicKey.export({ format: 'jwk' });

test('sealFor: refuses an exponent that seals nothing, and one that makes us work', async () => {
  expect(await sealFor({ kty, n, e })).toMatchObject({ ok: true });
  expect(await sealFor({ kty, n, e: 'Aw' })).toMatchObject({ ok: true });
  // 1: what comes out is what went in.
  for (const odd of ['AQ', 'AAAB', 'AA', '', n.slice(0, -4), 'AQABAAAB'])
    expect(await sealFor({ kty, n, e: odd }), odd.slice(0, 10)).toMatchObject({ ok: false });
});
