import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Fault } from '../../src/grants/fault.ts';
import { parsePatterns } from '../../src/grants/pattern.ts';
import type { Json } from '../../src/json.ts';

const read = (raw: Json) => {
  const faults: Fault[] = [];
  const patterns = parsePatterns(raw, [], faults);
  return { faults, matches: (value: Json | undefined) => patterns.some((pattern) => pattern.matches(value)) };
};

test.each<[Json, Json | undefined]>([
  [true, 'true'],
  ['true', true],
  [1, '1'],
  ['1', 1],
  [0, false],
  ['', undefined],
  ['a', ['a']],
  ['a,b', ['a', 'b']],
  ['a', 'a,b'],
  ['a', null],
  ['null', null],
  ['a', { a: 'a' }],
  ['[object Object]', {}],
  [{ glob: '*' }, 1],
  [{ glob: '**' }, null],
  [{ glob: '**' }, ['a']],
  [{ glob: '**' }, undefined],
  [{ contains: 'a' }, 'a'],
  [{ contains: 'a' }, { 0: 'a', length: 1 }],
  [{ contains: 'a' }, [['a']]],
  [{ contains: true }, ['true']],
  [
    ['a', 'b'],
    ['a', 'b'],
  ],
  ['A', 'a'],
])('parsePatterns: %j does not match %j', (raw, value) => {
  const { faults, matches } = read(raw);
  expect(faults).toEqual([]);
  expect(matches(value)).toBe(false);
});

test.each<[Json, Json]>([
  [true, true],
  [1, 1],
  ['a', 'a'],
  [['a', 'b'], 'b'],
  [['a', { glob: 'b*' }], 'bcd'],
  [{ glob: ['x', 'y/*'] }, 'y/z'],
  [{ exact: 'a*' }, 'a*'],
  [{ contains: 'a' }, ['b', 'a']],
  [{ contains: ['a', { glob: 'team-*' }] }, ['team-red']],
])('parsePatterns: %j matches %j', (raw, value) => {
  const { faults, matches } = read(raw);
  expect(faults).toEqual([]);
  expect(matches(value)).toBe(true);
});

test.each<[Json, RegExp]>([
  ['repo:acme/*', /write \{ glob: "repo:acme\/\*" \}, or \{ exact:/],
  [[], /empty list/],
  [[['a']], /list in a list/],
  [null, /Missing/],
  [{}, /Cannot read this pattern/],
  [{ regex: '.*' }, /Cannot read this pattern/],
  [{ glob: 'a', exact: 'a' }, /Cannot read this pattern/],
  [{ glob: 1 }, /Expected a string/],
  [{ glob: [] }, /1 to 100 globs/],
  [{ exact: true }, /Expected a string/],
  [{ contains: { contains: 'a' } }, /list in a list/],
  [2 ** 60, /in quotes/],
  [Number.NaN, /in quotes/],
  [Array.from({ length: 101 }, () => 'a'), /at most 100/],
])('parsePatterns: refuses %j', (raw, message) => {
  expect(read(raw).faults[0]?.message).toMatch(message);
});

test('parsePatterns: an exact value matches its own JSON value and nothing else', () => {
  const scalar = fc.oneof(
    fc.string().filter((s) => !s.includes('*')),
    fc.integer(),
    fc.boolean(),
  );
  fc.assert(
    fc.property(scalar, fc.jsonValue(), (raw, value) => {
      expect(read(raw).matches(value as Json)).toBe(value === raw);
      expect(read(raw).matches(raw)).toBe(true);
    }),
  );
});
