import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { codeBytes, codeText } from '../../src/offline/codes.ts';
import { openKit, readKitFile, sealKit } from '../../src/offline/envelope.ts';
import { newId, systemRuntime } from '../../src/runtime.ts';

const SECRET = 'what the kit holds';

async function kit(holders = ['ada', 'bob', 'cyd', 'dan'], threshold = 2, contents = SECRET) {
  return sealKit(
    systemRuntime,
    {
      id: newId(systemRuntime),
      url: 'https://hallpass.example',
      ca: null,
      grants: ['repair'],
      expiresAt: Date.parse('2030-01-31'),
      threshold,
      holders,
      stateDirectory: '/var/lib/hallpass/kits',
    },
    contents,
  );
}

async function open(file: string, codes: readonly string[]) {
  const read = readKitFile(file);
  return read.ok ? openKit(read.value, codes) : read;
}

test('openKit: any k codes open it, in any order, and say whose they are', async () => {
  const { file, codes } = await kit();
  const texts = codes.map(({ code }) => code);
  for (const [i, a] of texts.entries())
    for (const [j, b] of texts.entries()) {
      if (i === j) continue;
      const opened = await open(file, [a, b]);
      expect(opened).toEqual({ ok: true, value: { contents: SECRET, codes: [i, j].sort() } });
    }
});

test('openKit: k-1 codes, a code twice and a wrong code open nothing', async () => {
  const { file, codes } = await kit(['ada', 'bob', 'cyd'], 3);
  const [a = '', b = '', c = ''] = codes.map(({ code }) => code);
  expect(await open(file, [a, b])).toEqual({ ok: false, error: 'it takes 3 codes, and 2 were given' });
  expect(await open(file, [])).toMatchObject({ ok: false });
  expect(await open(file, [a, b, b])).toEqual({ ok: false, error: 'code 3 of those given was given before' });
  const other = await kit(['ada', 'bob', 'cyd'], 3);
  expect(await open(file, [a, other.codes[1]!.code, c])).toEqual({
    ok: false,
    error: 'code 2 of those given is none of this kit',
  });
  expect(await open(file, [a, 'not a code!', c])).toMatchObject({ error: /code 2/ });
});

test('openKit: what the file shows is neither contents nor codes', async () => {
  const { file, codes } = await kit();
  expect(file).not.toContain(SECRET);
  for (const { code } of codes) expect(file).not.toContain(code.slice(0, 9));
});

test('openKit: a kit of which any byte is another opens nothing', async () => {
  const { file, codes } = await kit(['ada', 'bob'], 2, 'x');
  const texts = codes.map(({ code }) => code);
  expect((await open(file, texts)).ok).toBe(true);
  for (let at = 0; at < file.length; at++) {
    for (const flip of [1, 2, 32]) {
      const altered =
        file.slice(0, at) + String.fromCharCode(file.charCodeAt(at) ^ flip) + file.slice(at + 1);
      expect((await open(altered, texts)).ok, `byte ${at}, ${JSON.stringify(altered[at])}`).toBe(false);
    }
    expect((await open(file.slice(0, at), texts)).ok, `cut at ${at}`).toBe(false);
  }
  expect((await open(`${file}\n`, texts)).ok).toBe(false);
});

test('openKit: the header of one kit does not go with the contents of another', async () => {
  const [one, two] = [await kit(), await kit()];
  const mixed = [...one.file.split('\n').slice(0, 2), ...two.file.split('\n').slice(2)].join('\n');
  expect(
    (
      await open(
        mixed,
        one.codes.slice(0, 2).map(({ code }) => code),
      )
    ).ok,
  ).toBe(false);
});

test('codeBytes: property: reads what codeText wrote, however it was typed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (bytes) => {
      const text = codeText(bytes);
      const typed = text.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l');
      expect(codeBytes(text)).toEqual(bytes);
      expect(codeBytes(typed)).toEqual(bytes);
    }),
  );
  expect(codeBytes(randomBytes(3).toString('hex').replace(/./g, 'U'))).toBeNull();
  expect(codeBytes('')).toBeNull();
});
