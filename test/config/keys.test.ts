import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';

const { keys } = configSchema.shape;
const aKey = () => randomBytes(32).toString('base64');

test('keys: takes one master key, or several, and signs with ES256 unless told otherwise', () => {
  expect(keys.parse({ master_key: aKey() })).toMatchObject({ algorithm: 'ES256' });
  expect(keys.safeParse({ master_key: `${aKey()}\n${aKey()}\n` }).success).toBe(true);
  expect(keys.parse({ algorithm: 'RS256', rotate_every: '7d' })).toMatchObject({ rotate_every: 604_800 });
});

test('keys: refuses a master key of another size, and rotation faster than a key is published ahead', () => {
  for (const size of [16, 24, 31, 33, 64])
    expect(keys.safeParse({ master_key: randomBytes(size).toString('base64') }).success).toBe(false);
  expect(keys.safeParse({ master_key: 'correct horse battery staple' }).success).toBe(false);
  expect(keys.safeParse({ master_key: Array.from({ length: 9 }, aKey).join(' ') }).success).toBe(false);
  expect(keys.safeParse({ rotate_every: '1d' }).success).toBe(false);
});
