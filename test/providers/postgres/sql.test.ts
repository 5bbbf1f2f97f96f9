import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { identifier, instant, literal, plain } from '../../../src/providers/postgres/sql.ts';
import { startWarehouse, type Warehouse } from './world.ts';

let warehouse: Warehouse | undefined;
let unavailable = 'the server did not start';
beforeAll(async () => {
  const started = await startWarehouse('18');
  if ('unavailable' in started) unavailable = started.unavailable;
  else warehouse = started;
});
afterAll(() => warehouse?.stop());

const text = fc
  .oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(`'`, `"`, '\\', '$', ';', '-', '{', 'E', ' ', 'a', '\n', '🗝️') }),
  )
  .filter((value) => !/[\0\p{Surrogate}]/u.test(value));

test.for(['on', 'off'])(
  'literal: any text comes back as it is, standard_conforming_strings %s',
  async (conforming, ctx) => {
    const { root } = warehouse ?? ctx.skip(unavailable);
    await root.query(`SET standard_conforming_strings TO ${conforming}; SET escape_string_warning TO off`);
    await fc.assert(
      fc.asyncProperty(text, async (value) => {
        const { rows } = await root.query(`SELECT ${literal(value)}::text AS value`);
        expect(rows).toEqual([{ value }]);
      }),
    );
    await root.query('RESET standard_conforming_strings');
  },
);

test('identifier: any text of up to 63 bytes comes back as it is', async (ctx) => {
  const { root } = warehouse ?? ctx.skip(unavailable);
  const name = text.filter((value) => value !== '' && Buffer.byteLength(value) <= 63);
  await fc.assert(
    fc.asyncProperty(name, async (value) => {
      const { fields } = await root.query(`SELECT 1 AS ${identifier(value)}`);
      expect(fields.map((field) => field.name)).toEqual([value]);
    }),
  );
});

test('identifier: refuses what PostgreSQL would cut, or cannot hold', () => {
  for (const name of ['', 'a\0b', 'x'.repeat(64), '🗝'.repeat(16), '\ud800']) {
    expect(() => identifier(name)).toThrow(RangeError);
  }
  expect(identifier('🗝'.repeat(15))).toBe(`"${'🗝'.repeat(15)}"`);
});

test('literal, plain: refuse what text cannot hold', () => {
  for (const value of ['a\0b', '\udfff']) {
    expect(() => literal(value)).toThrow(RangeError);
    expect(() => plain(value)).toThrow(RangeError);
  }
  expect(plain(`it's`)).toBe(`it's`);
});

test('instant: is the same instant at the server, to the millisecond', async (ctx) => {
  const { root } = warehouse ?? ctx.skip(unavailable);
  for (const ms of [0, 1_700_000_000_123, Date.parse('2200-12-31T23:59:59.999Z')]) {
    const { rows } = await root.query(`SELECT ${instant(ms)}::timestamptz AS at`);
    expect(rows[0].at.getTime()).toBe(ms);
  }
});
