import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readFault, readFileFromDisk } from '../../src/config/files.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hallpass-config-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('readFileFromDisk: bytes and mode', async () => {
  const path = join(folder, 'a');
  await writeFile(path, 'hello');
  await chmod(path, 0o640);
  const { bytes, mode } = await readFileFromDisk(path, 100);
  expect(new TextDecoder().decode(bytes)).toBe('hello');
  expect(mode).toBe(0o640);
});

test('readFileFromDisk: reads one byte over the bound and no more', async () => {
  const path = join(folder, 'b');
  await writeFile(path, 'x'.repeat(5000));
  expect((await readFileFromDisk(path, 10)).bytes).toHaveLength(11);
  expect((await readFileFromDisk('/dev/zero', 10)).bytes).toHaveLength(11);
});

test.each([
  ['none', 'there is no such file'],
  ['.', 'it is a directory'],
  ['b/c', 'a part of its path is no directory'],
])('readFault: %s', async (name, reason) => {
  await writeFile(join(folder, 'b'), '');
  const error = await readFileFromDisk(join(folder, name), 10).catch((caught: unknown) => caught);
  expect(readFault(error)).toBe(reason);
});
