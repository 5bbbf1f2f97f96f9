import fc from 'fast-check';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { readYaml } from '../../src/config/yaml.ts';
import { processorMs } from '../support/work.ts';

const read = (text: string) => readYaml(new TextEncoder().encode(text));
const faultsOf = (text: string) => {
  const document = read(text);
  return document.ok
    ? []
    : document.error.map(
        ({ position, message }) => `${position?.line ?? '-'}:${position?.column ?? '-'} ${message}`,
      );
};

const bomb = [
  'a: &a [x, x, x, x, x, x, x, x, x]',
  ...'bcdefghi'.split('').map((n, i) => `${n}: &${n} [${Array(9).fill(`*${'abcdefghi'[i]}`).join(', ')}]`),
].join('\n');

test.each([
  ['', '- The file is empty'],
  ['# only this\n', 'The file is empty'],
  ['a: 1\nb: [1, 2\nc: 3', 'Cannot read the YAML'],
  ['a: 1\n  b: 2', 'Cannot read the YAML'],
  ['\ta: 1', 'Cannot read the YAML'],
  ['a:\n\tb: 1', '2:1 Cannot read the YAML: a tab cannot indent: write spaces'],
  ['a: 1\nb: 2\na: 3', '3:1 The key "a" is there twice'],
  ['x:\n  a: 1\n  "a": 2', '3:3 The key "a" is there twice'],
  ['a: 1\n---\nb: 2', '2:1 Cannot read the YAML: a second document begins here: keep one'],
  [bomb, 'Cannot use anchors and aliases'],
  ['a: &x 1', '1:7 Cannot use anchors'],
  ['a: 1\nb: *a', 'Cannot'],
  ['a: !!binary aGk=', 'tag'],
  ['a: !secret x', 'tag'],
  ['a: !!js/function x', 'tag'],
  ['? [a]\n: 1', 'Cannot'],
  ['__proto__: 1', '1:1 Cannot use "__proto__"'],
  ['a: {"__proto__": {x: 1}}', 'Cannot use "__proto__"'],
  ['a: "x\\0y"', '1:4 Cannot use control characters'],
  ['"a\\e": 1', 'Cannot use control characters in a name'],
  ['a: .nan', 'not finite'],
  ['a: -.inf', 'not finite'],
  [`a: ${'['.repeat(50)}${']'.repeat(50)}`, 'Nested more than 40 deep'],
  [`a: ${'['.repeat(100_000)}`, 'Cannot read'],
  [`a: ${'{a: '.repeat(20_000)}`, 'Cannot read'],
  [`a: ${'x'.repeat(1024 * 1024)}`, 'more than 1048576 bytes'],
])('readYaml: refuses %.40j', (text, message) => {
  expect(faultsOf(text).join('\n')).toContain(message);
});

test.each(['[', '{a: ', '- ', '? ', '{? '])('readYaml: %j again and again is one fault', (opening) => {
  // The composer would descend into each, and Node.js has died of that with its stack used up.
  for (const times of [1_000, 50_000])
    expect(faultsOf(opening.repeat(times))).toEqual([
      '-:- Cannot read the file: it is nested more than 40 deep',
    ]);
});

test('readYaml: says nothing of a size that it does not know', () => {
  // The reader of files gives a byte more than may be there, whatever follows.
  expect(readYaml(new Uint8Array(1024 * 1024 + 1))).toMatchObject({
    error: [{ message: 'Cannot read a file of more than 1048576 bytes: take out what is no configuration' }],
  });
});

test('readYaml: reads merge keys, dates and old booleans as plain values', () => {
  expect(read('"<<": {a: 1}\nb: on\nc: 2026-01-01\nd: 0755\ne: yes')).toMatchObject({
    ok: true,
    value: { value: { '<<': { a: 1 }, b: 'on', c: '2026-01-01', e: 'yes' } },
  });
});

test('readYaml: refuses what is not UTF-8', () => {
  expect(readYaml(new Uint8Array([0x61, 0x3a, 0x20, 0xff]))).toMatchObject({ ok: false });
});

test('readYaml: all keys that are there twice', () => {
  expect(faultsOf('a: 1\na: 2\nb: {c: 1, c: 2}')).toHaveLength(2);
});

test('readYaml: finds 20,000 keys without a wait', () => {
  const text = Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join('\n');
  expect(processorMs(() => expect(faultsOf(text)).toEqual([]))).toBeLessThan(5000);
});

test('readYaml: knows where a path stands, and the nearest part of one that does not', () => {
  const document = read('a:\n  b:\n    - x\n    - y: 1\n');
  if (!document.ok) throw new Error();
  const { positionOf } = document.value;
  expect(positionOf(['a', 'b', 1, 'y'])).toEqual({ line: 4, column: 7 });
  expect(positionOf(['a', 'b', 0])).toEqual({ line: 3, column: 7 });
  expect(positionOf(['a', 'b', 7])).toEqual({ line: 2, column: 3 });
  expect(positionOf(['a', 'nope', 'c'])).toEqual({ line: 1, column: 1 });
  expect(positionOf([])).toEqual({ line: 1, column: 1 });
});

test('readYaml: gives back the JSON that was written', () => {
  const key = fc.string({ minLength: 1 }).filter((k) => k !== '__proto__' && !/[\p{Cc}]/u.test(k));
  const text = fc.string().filter((t) => !/[\p{Cc}]/u.test(t));
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      text,
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('any')),
      fc.dictionary(key, tie('any')),
    ),
  })).any;
  fc.assert(
    fc.property(value, (json) => {
      const document = read(stringify({ json }, { aliasDuplicateObjects: false }));
      expect(document).toMatchObject({ ok: true });
      if (document.ok) expect(document.value.value).toEqual(JSON.parse(JSON.stringify({ json })));
    }),
  );
});

test('readYaml: no text makes it throw', () => {
  const piece = fc.constantFrom(
    'a',
    ':',
    ' ',
    '\n',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '&x ',
    '*x',
    '!!',
    '"',
    "'",
    '|',
    '>',
    '? ',
    '---',
    '#',
    '%',
    '\t',
    '<<',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      expect(typeof read(pieces.join('')).ok).toBe('boolean');
    }),
    { numRuns: 2000 },
  );
});
