import { expect, test } from 'vitest';
import { z } from 'zod';
import { nearest, printPath, quote, schemaFaults } from '../../src/grants/fault.ts';
import { lines } from './support.ts';

const faults = (schema: z.ZodType, value: unknown) => {
  const read = schema.safeParse(value);
  return read.success ? [] : lines(schemaFaults(read.error.issues, schema, value));
};

test('printPath: names, indexes, and names that need quotes', () => {
  expect(printPath(['a', 0, 'b-c', 'x/y', 'q"'])).toBe('a[0].b-c["x/y"]["q\\""]');
  expect(printPath(['x'.repeat(1000)]).length).toBeLessThan(120);
});

test('quote: is bounded and harmless to a terminal', () => {
  expect(quote('a\u001b[2Jb\u202ec\u200bd')).toBe('"a\\u001b[2Jb\\u202ec\\u200bd"');
  expect(quote('x'.repeat(1000)).length).toBeLessThan(110);
});

test.each([
  ['tasx', 'tasks'],
  ['tabel', 'table'],
  ['Tasks', 'tasks'],
  ['credential', 'credentials'],
  ['zebra', null],
  ['x'.repeat(10_000), null],
])('nearest: %.20s', (word, near) => {
  expect(nearest(word, ['tasks', 'table', 'credentials', 'who'])).toBe(near);
});

test('schemaFaults: says what to write, and of what was written only its type', () => {
  const schema = z.strictObject({
    text: z.string().min(2),
    number: z.int().max(5),
    list: z.array(z.boolean()).min(1),
    choice: z.union([z.literal('drop'), z.strictObject({ reassign_to: z.string() })]),
    kind: z.discriminatedUnion('type', [
      z.strictObject({ type: z.literal('a'), x: z.string() }),
      z.strictObject({ type: z.literal('b'), y: z.int() }),
    ]),
    more: z.record(z.string(), z.strictObject({ deep: z.string() })).optional(),
  });
  const secret = 'hunter2';
  const found = faults(schema, {
    text: 1,
    number: secret,
    list: [secret],
    choice: { reassign_too: secret },
    kind: { type: 'b', y: secret, x: secret },
    more: { n: { deeep: secret } },
  });
  expect(found.join('\n')).not.toContain(secret);
  expect(found.sort()).toEqual([
    'choice.reassign_to: Missing: write a string',
    'choice.reassign_too: Unknown key "reassign_too": did you mean "reassign_to"?',
    'kind.x: Unknown key "x": known here: "type", "y"',
    'kind.y: Expected a whole number, found a string',
    'list[0]: Expected true or false, found a string',
    'more.n.deeep: Unknown key "deeep": did you mean "deep"?',
    'more.n.deep: Missing: write a string',
    'number: Expected a whole number, found a string',
    'text: Expected a string, found a number: put it in quotes',
  ]);
  expect(faults(schema, { text: 'x', number: 9, list: [], choice: 7, kind: { type: 'c' } }).sort()).toEqual([
    'choice: Expected "drop" or a map, found a number',
    'kind.type: Expected one of "a", "b"',
    'list: Expected at least 1 entries',
    'number: Expected at most 5',
    'text: Expected at least 2 characters',
  ]);
});
