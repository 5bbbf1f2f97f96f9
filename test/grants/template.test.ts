import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Fault } from '../../src/grants/fault.ts';
import { parseTemplate } from '../../src/grants/template.ts';
import type { Json } from '../../src/json.ts';
import { fakeProvider } from '../fakes/provider.ts';
import { lines } from './support.ts';

const { templating } = fakeProvider({ now: () => 0 }).provider;
const known = new Map([
  ['table', 0],
  ['rows', 0],
  ['dry', 0],
]);
const parse = (raw: Json) => {
  const faults: Fault[] = [];
  return { template: parseTemplate(raw, templating, known, ['scope'], faults), faults: lines(faults) };
};
const fill = (raw: Json, parameters: Record<string, Json>, task = 'job') => {
  const { template, faults } = parse(raw);
  expect(faults).toEqual([]);
  return template.fill({ parameters, task });
};

test.each<[Json, Json]>([
  [{ role: 'r_{{ parameters.table }}' }, { role: 'r_orders' }],
  [{ role: '{{parameters.table}}_{{task}}' }, { role: 'orders_job' }],
  [{ statements: ['x {{ parameters.table | literal }}'] }, { statements: ["x 'orders'"] }],
  [
    { statements: ['{{ parameters.rows | literal }}', '{{ parameters.dry | literal }}'] },
    { statements: ["'7'", "'true'"] },
  ],
  [
    { a: 1, b: [true, null], c: 'plain }} {' },
    { a: 1, b: [true, null], c: 'plain }} {' },
  ],
])('parseTemplate: fills %j', (raw, value) => {
  expect(fill(raw, { table: 'orders', rows: 7, dry: true })).toEqual({ ok: true, value });
});

test.each<[Json, string]>([
  [{ role: '{{ parameters.tabel }}' }, 'scope.role: Unknown parameter "tabel": did you mean "table"?'],
  [{ role: '{{ params.table }}' }, 'Cannot read the template'],
  [
    { role: '{{ parameters.table | quote }}' },
    'scope.role: Unknown filter "quote": known here: "identifier", "literal"',
  ],
  [{ role: '{{ task | constructor }}' }, 'Unknown filter'],
  [{ statements: ['x', 'y {{ parameters.table }}'] }, 'scope.statements[1]: Say how this value enters here'],
  [{ role: 'a {{ parameters.table' }, 'must end with "}}"'],
  [{ role: '{{}}' }, 'Cannot read the template'],
  [{ role: '{{ {{ task }} }}' }, 'Cannot read the template'],
  [{ '{{ task }}': 'x' }, 'Cannot use a template in the name of a member'],
])('parseTemplate: refuses %j', (raw, fault) => {
  expect(parse(raw).faults.join()).toContain(fault);
});

test('parseTemplate: reports all faults of a scope', () => {
  expect(parse({ role: '{{ a }} {{ b }}', statements: ['{{ task }}'] }).faults).toHaveLength(3);
});

test('fill: a value that its filter refuses names the place and the parameter', () => {
  expect(fill({ role: '{{ parameters.table }}' }, { table: 'x"; DROP' })).toEqual({
    ok: false,
    error: expect.stringContaining('role: cannot use parameters.table here'),
  });
  expect(fill({ role: '{{ parameters.table }}' }, {})).toMatchObject({ ok: false });
  expect(fill({ role: '{{ parameters.table }}' }, Object.create({ table: 'inherited' }))).toMatchObject({
    ok: false,
  });
});

test('fill: what is filled in is never read as a template, and stays within its quotes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (table) => {
      const filled = fill(
        { statements: ['SELECT {{ parameters.table | literal }}, {{ task | literal }}'] },
        { table },
        '{{ task }}',
      );
      if (table.includes('\0')) {
        expect(filled.ok).toBe(false);
        return;
      }
      const [statement] = (filled as unknown as { value: { statements: [string] } }).value.statements;
      expect(statement).toBe(`SELECT '${table.replaceAll("'", "''")}', '{{ task }}'`);
    }),
  );
});
