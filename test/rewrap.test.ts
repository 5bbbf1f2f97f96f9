import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { checkCommand } from '../src/check.ts';
import { rewrapCommand } from '../src/rewrap.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

test('hallpass rewrap: a master key that a program prints seals, and its ring opens', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-rewrap-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const [old, fresh] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
  const config = join(folder, 'hallpass.yaml');
  const command = JSON.stringify(['cat', join(folder, 'ring')]);
  await writeFile(
    config,
    `broker: { url: 'http://127.0.0.1:7420' }\nkeys: { master_key_command: ${command} }\n`,
  );
  let said = '';
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      said += text;
      return true;
    });
  const check = () => checkCommand({ config, json: false, live: true });
  const withRing = async (ring: string, run: () => Promise<number>) => {
    await writeFile(join(folder, 'ring'), ring);
    said = '';
    return run();
  };
  // The check makes the first signing keys.
  expect(await withRing(old, check)).toBe(0);
  expect(said).toMatch(/\(keys\) +ok +seal and open/);
  expect(await withRing(`${fresh} ${old}`, () => rewrapCommand({ config }))).toBe(0);
  expect(said).toBe('2 signing keys are sealed anew\n');
  await expect(withRing(old, () => rewrapCommand({ config }))).rejects.toMatchObject({
    code: 'config-invalid',
    message: expect.stringContaining('is not among those configured'),
  });
  expect(await withRing('no key', check)).toBe(10);
  expect(said).toContain('cannot use key 1');
  // Four starts of the embedded store.
}, 240_000);
