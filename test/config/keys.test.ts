import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { example, faultsIn, load, print } from './support.ts';

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

const ARN = 'arn:aws:kms:eu-central-1:123456789012:key/mrk-1234abcd';
const withKeys = (lines: string) => example(['broker:', `keys:\n${lines}broker:`]);

test('keys: takes a KMS key by its ARN alone', () => {
  expect(keys.parse({ aws_kms: { key_arn: ARN } })).toMatchObject({ aws_kms: { also_opens: [] } });
  for (const key_arn of [
    ARN.replace('key/', 'alias/'),
    ARN.replace(':123456789012', ''),
    'mrk-1234abcd',
    `${ARN} `,
  ])
    expect(keys.safeParse({ aws_kms: { key_arn } }).success, key_arn).toBe(false);
});

test('keysConfig: refuses two sources of one master key, and a KMS that only opens where nothing seals', async () => {
  const file = { '/etc/hallpass/m': aKey() };
  expect(
    await faultsIn(withKeys('  master_key_file: m\n  master_key_command: [pass, show, m]\n'), {}, file),
  ).toEqual([expect.stringContaining('keys.master_key_command: Cannot stand beside master_key')]);
  const only = `  aws_kms: { key_arn: '${ARN}', only_opens: true }\n`;
  expect(await faultsIn(withKeys(only))).toEqual([
    expect.stringContaining('keys.aws_kms.only_opens: Leaves nothing to seal with'),
  ]);
  expect(await faultsIn(withKeys(`  master_key_file: m\n${only}`), {}, file)).toEqual([]);
  expect(await faultsIn(withKeys(`  master_key_command: [pass, show, m]\n${only}`))).toEqual([]);
});

test('keysConfig: warns of a KMS at another address', async () => {
  const config = await load(
    withKeys(`  aws_kms: { key_arn: '${ARN}', insecure_endpoint: 'http://127.0.0.1:1' }\n`),
  );
  expect(config.ok && config.value.warnings.map(print).join()).toContain('keys.aws_kms.insecure_endpoint');
});
