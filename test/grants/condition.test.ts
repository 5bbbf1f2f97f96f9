import fc from 'fast-check';
import { expect, test } from 'vitest';
import { conditionCompiler } from '../../src/grants/condition.ts';
import type { Condition, ConditionInput } from '../../src/grants/grant.ts';
import { NOON } from './support.ts';

const compiler = conditionCompiler(
  new Map([
    ['region', { type: 'string' as const }],
    ['rows', { type: 'integer' as const }],
    ['dry', { type: 'boolean' as const }],
  ]),
);
const input = (changes: Partial<ConditionInput> = {}): ConditionInput => ({
  claims: { a: 'x', n: 1, half: 0.5, list: ['p', 'q'], deep: { er: { yes: true } }, nothing: null },
  issuer: 'github',
  subject: 's',
  task: 'backfill/7',
  parameters: { region: 'eu', rows: 5, dry: true },
  purpose: '',
  ticket: '',
  actors: [],
  now: NOON,
  ...changes,
});
const condition = (expression: string): Condition => {
  const compiled = compiler.compile(expression);
  if (typeof compiled === 'string') throw new Error(compiled);
  return compiled;
};

test.each([
  ['claims.a == "x"', true],
  ['claims["a"] == "x"', true],
  ['claims.n == 1', true],
  ['claims.n == "1"', false],
  ['claims.half == 0.5', true],
  ['claims.half < 1', true],
  ['"q" in claims.list', true],
  ['claims.list.exists(e, e == "q")', true],
  ['claims.deep.er.yes == true', true],
  ['has(claims.deep.er) && !has(claims.nope)', true],
  ['has(claims.constructor) || has(claims.__proto__)', false],
  ['issuer == "github" && subject == "s"', true],
  ['parameters.region == "eu" && parameters.rows <= 5 && parameters.dry', true],
  ['task.startsWith("backfill/")', true],
  ['task.glob("backfill/*")', true],
  ['task.glob("back*")', false],
  ['purpose == ""', true],
  ['now.getHours("UTC") == 12', true],
  ['now > timestamp("2026-03-04T11:59:59Z") && now.getDayOfWeek() == 3', true],
])('conditionCompiler: %s is %s', (expression, holds) => {
  expect(condition(expression).holds(input())).toEqual({ holds, error: null });
});

test.each([
  ['claims.nope == "x"', /No such key/],
  ['claims.nothing.x == 1', /No such key/],
  ['claims.a > 1', /no such overload/],
  ['"a" in claims.a', /no such overload/],
  ['claims.a && true', /./],
  ['9223372036854775807 + claims.n > 0', /overflow/],
  ['claims.list[7] == "x"', /./],
  ['task.glob(claims.a + "***")', /Cannot use/],
  ['1 / (claims.n - 1) == 1', /./],
])('conditionCompiler: %s fails, which denies', (expression, message) => {
  const answer = condition(expression).holds(input());
  expect(answer.holds).toBe(false);
  expect(answer.error).toMatch(message);
});

test.each([
  ['parameters.region', /of type string/],
  ['claims.a', /of type dyn: compare it/],
  ['1', /of type int/],
  ['parameters.nope == 1', /No such key: nope/],
  ['parameters.region == 1', /no such overload: string == int/],
  ['parameters.rows == 0.5 && nope', /./],
  ['nope == 1', /Unknown variable: nope/],
  ['claims.a ==', /Cannot read/],
  ['', /Cannot read/],
  ['claims.a.matches("(a+)+$")', /Cannot use matches: .*glob/],
  ['cel.bind(x, task + task, x == "")', /Cannot use bind/],
  ['claims.list.all(a, claims.list.exists(b, a == b))', /within another loop/],
  [`${'('.repeat(200)}true${')'.repeat(200)}`, /Cannot read/],
  [`${'true && '.repeat(280)}true`, /2000 characters/],
  [`${'1+'.repeat(600)}1==1`, /Cannot read/],
])('conditionCompiler: refuses %s', (expression, message) => {
  expect(compiler.compile(expression)).toMatch(message);
});

test('conditionCompiler: loops one after the other are no loops in one another', () => {
  const filtered = condition('claims.list.filter(e, e != "p").exists(e, e == "q")');
  expect(filtered.holds(input()).holds).toBe(true);
});

test('conditionCompiler: names the claims that an expression reads', () => {
  const read = condition(
    'claims.a == "x" && (has(claims.deep.er) || claims["b c"] == 1) && "q" in claims.list',
  );
  expect([...read.claims].sort()).toEqual(['a', 'b c', 'deep', 'list']);
});

test('conditionCompiler: a parameter that is absent is an error unless it is asked for', () => {
  const bare = input({ parameters: { region: 'eu' } });
  expect(condition('parameters.rows < 3').holds(bare)).toMatchObject({ holds: false });
  expect(condition('!has(parameters.rows) || parameters.rows < 3').holds(bare).holds).toBe(true);
});

test('conditionCompiler: whole numbers are ints, others doubles, whatever their size', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (n) => {
      const whole = Number.isSafeInteger(n);
      const typed = condition(`type(claims.n) == ${whole ? 'int' : 'double'}`);
      expect(typed.holds(input({ claims: { n } }))).toEqual({ holds: true, error: null });
    }),
  );
});

test('conditionCompiler: no claims make an expression throw or hold by accident', () => {
  const guarded = condition('claims.role == "admin"');
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (claims) => {
      const expected = Object.hasOwn(claims, 'role') && claims.role === 'admin';
      expect(guarded.holds(input({ claims: claims as ConditionInput['claims'] })).holds).toBe(expected);
    }),
  );
});
