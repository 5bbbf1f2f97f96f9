import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { newMasterKey, readMasterKeys } from '../../src/issuer/master-keys.ts';
import { ownMasterKey } from '../../src/issuer/own-master-key.ts';

const aKey = () => newMasterKey(randomBytes);
function ring(...keys: string[]) {
  const read = readMasterKeys(keys.join('\n'));
  if (!read.ok) throw new Error(read.error);
  return read.value;
}
const secret = () => Uint8Array.from(randomBytes(40));

test('readMasterKeys: refuses what is no key, too many, and none', () => {
  expect(readMasterKeys(' \n')).toMatchObject({ ok: false });
  expect(readMasterKeys(randomBytes(31).toString('base64'))).toMatchObject({ ok: false });
  expect(readMasterKeys(`${aKey()} password`)).toMatchObject({
    ok: false,
    error: expect.stringMatching(/key 2/),
  });
  expect(readMasterKeys(Array.from({ length: 9 }, aKey).join('\n'))).toMatchObject({ ok: false });
});

test('seal: opens again for its purpose, and for no other; the text tells nothing', async () => {
  const keys = ring(aKey());
  const plain = secret();
  const sealed = await keys.seal('signing key', plain);
  expect(Buffer.from(await keys.open('signing key', sealed))).toEqual(Buffer.from(plain));
  await expect(keys.open('escrow', sealed)).rejects.toMatchObject({ code: 'config-invalid' });
  expect(sealed).not.toContain(Buffer.from(plain).toString('base64url').slice(0, 20));
  expect(await keys.seal('signing key', plain)).not.toBe(sealed);
});

test('open: refuses an envelope that was altered anywhere', async () => {
  const keys = ring(aKey());
  const sealed = await keys.seal('signing key', secret());
  for (let at = 0; at < sealed.length; at += 3) {
    const altered = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`;
    // The last character of a part has bits that mean nothing.
    const decoded = (text: string) =>
      text.split('.').map((part) => Buffer.from(part, 'base64url').toString('hex'));
    if (decoded(altered).join() === decoded(sealed).join()) continue;
    await expect(keys.open('signing key', altered)).rejects.toMatchObject({ code: 'config-invalid' });
  }
});

test('open: an older key in the ring opens, a foreign one is named', async () => {
  const [old, fresh] = [aKey(), aKey()];
  const sealed = await ring(old).seal('signing key', secret());
  const both = ring(fresh, old);
  await both.open('signing key', sealed);
  expect(both.idOf(sealed)).not.toBe(both.currentId);
  await expect(ring(fresh).open('signing key', sealed)).rejects.toThrow(ring(old).currentId);
});

test('ownMasterKey: is made once, whole, for its owner alone, and stays', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-master-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const state = join(folder, 'state');
  const first = ownMasterKey(state, randomBytes);
  expect(first.made).toBe(true);
  expect(statSync(first.path).mode & 0o777).toBe(0o600);
  expect(readdirSync(state)).toEqual(['master.key']);
  expect(readMasterKeys(first.text).ok).toBe(true);
  expect(ownMasterKey(state, randomBytes)).toEqual({ ...first, made: false });
  expect(readFileSync(first.path, 'utf8')).toBe(first.text);
});
