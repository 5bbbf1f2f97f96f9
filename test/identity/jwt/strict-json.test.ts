import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JSON_MAX_DEPTH, JSON_MAX_MEMBERS } from '../../../src/identity/jwt/limits.ts';
import { parseStrictObject } from '../../../src/identity/jwt/strict-json.ts';

const parse = (text: string) => parseStrictObject(Buffer.from(text));

test('parseStrictObject: gives what JSON.parse gives, for every object within the bounds', () => {
  const name = fc.string({ unit: 'grapheme', maxLength: 8 });
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constant(null),
      fc.boolean(),
      // An integer that no double holds exactly is refused: below.
      fc.double().filter((x) => Number.isSafeInteger(x) || !/^-?\d+$/.test(String(x))),
      fc.maxSafeInteger(),
      name,
      tie('list'),
      tie('object'),
    ),
    list: fc.array(tie('value'), { maxLength: 5 }),
    object: fc.dictionary(name, tie('value'), { maxKeys: 5 }),
  }));
  fc.assert(
    fc.property(
      fc.dictionary(name, value, { maxKeys: 5 }),
      fc.constantFrom(undefined, 1, '\t'),
      (object, space) => {
        const text = JSON.stringify(object, null, space);
        if (text.includes('\\u0000')) return;
        const parsed = parse(text);
        expect(parsed.ok && JSON.stringify(parsed.value)).toBe(JSON.stringify(JSON.parse(text)));
      },
    ),
    { numRuns: 500 },
  );
});

test('parseStrictObject: finds a name given twice at any place and in any spelling', () => {
  const spell = (name: string, escaped: boolean): string =>
    escaped
      ? `"${[...name].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`
      : JSON.stringify(name);
  const name = fc.string({ minLength: 1, maxLength: 6 });
  const wrap = fc.constantFrom('{"o":X}', '{"o":[1,X]}', '{"o":{"p":[[X]]},"q":"{\\"a\\":1,\\"a\\":2}"}');
  fc.assert(
    fc.property(
      name,
      fc.boolean(),
      fc.boolean(),
      wrap,
      fc.uniqueArray(name),
      (twice, one, two, frame, between) => {
        const others = between
          .filter((other) => other !== twice)
          .map((other) => `${JSON.stringify(other)}:[{}],`);
        const object = `{${spell(twice, one)}:1,${others.join('')}${spell(twice, two)}:2}`;
        expect(parse(frame.replace('X', () => object))).toEqual({ ok: false, error: 'has a member twice' });
        const single = `{${others.join('')}${spell(twice, two)}:2}`;
        expect(parse(frame.replace('X', () => single)).ok).toBe(true);
      },
    ),
  );
});

test('parseStrictObject: never throws, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(typeof parseStrictObject(bytes).ok).toBe('boolean');
    }),
    { numRuns: 1_000 },
  );
});

test('parseStrictObject: bounds depth and members exactly', () => {
  const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
  expect(parse(deep(JSON_MAX_DEPTH)).ok).toBe(true);
  expect(parse(deep(JSON_MAX_DEPTH + 1)).ok).toBe(false);
  const wide = (members: number) => `{${Array.from({ length: members }, (_, i) => `"${i}":{}`).join(',')}}`;
  expect(parse(wide(JSON_MAX_MEMBERS)).ok).toBe(true);
  expect(parse(wide(JSON_MAX_MEMBERS + 1)).ok).toBe(false);
});

test('parseStrictObject: numbers are exact or refused', () => {
  for (const good of ['9007199254740991', '-9007199254740991', '0.1', '1e3', '-0', '1.5E-7']) {
    expect(parse(`{"n":${good}}`).ok, good).toBe(true);
  }
  for (const bad of ['9007199254740992', '-9007199254740993', '123456789012345678901', '1e400', '-1e400']) {
    expect(parse(`{"n":${bad}}`), bad).toEqual({
      ok: false,
      error: 'has a number that cannot be held exactly',
    });
    expect(parse(`{"n":"${bad}"}`).ok, `${bad} as a string`).toBe(true);
  }
});
