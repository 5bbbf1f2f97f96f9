import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decide, explain } from '../../src/grants/decide.ts';
import type { Ask, Cut } from '../../src/grants/grant.ts';
import type { Json } from '../../src/json.ts';
import { askOf, grantOf, NOON } from './support.ts';

const grant = grantOf();
const none: Cut = {
  task: 'nightly-report',
  parameters: {},
  credentials: null,
  maxTtlSeconds: null,
  subject: null,
};
const reasonOf = (ask: Ask, cut: Cut | null = null, from = grant) => {
  const decision = decide(from, cut, ask);
  return decision.ok ? 'allowed' : decision.error.reason;
};

test('decide: says yes to exactly what was asked', () => {
  expect(decide(grant, null, askOf())).toEqual({
    ok: true,
    value: {
      grant: 'nightly',
      grantVersion: grant.version,
      parameters: { region: 'eu' },
      credentials: [
        {
          name: 'warehouse',
          target: 'warehouse',
          provider: 'memory',
          scope: { role: 'report_eu' },
          ttlSeconds: 600,
          capSeconds: 14_400,
        },
        {
          name: 'lake',
          target: 'warehouse',
          provider: 'memory',
          scope: { role: 'lake', statements: ["GRANT x TO 'nightly-report'"] },
          ttlSeconds: 1800,
          capSeconds: 1800,
        },
      ],
      heartbeatSeconds: 60,
      limits: { liveLeases: 10, issuesPerHour: 100 },
      claims: { repository_id: '42', ref: 'refs/heads/main' },
    },
  });
});

test('decide: the log gets the claims that conditions read, too', () => {
  const reading = grantOf({ conditions: ['claims.actor == "mona"'] });
  const decision = decide(reading, null, askOf());
  expect(decision.ok && decision.value.claims).toMatchObject({ actor: 'mona' });
});

describe('decide: refuses', () => {
  test.each<[string, string, Parameters<typeof askOf>[0]]>([
    ['no claims', 'principal', { claims: {} }],
    ['a number for a string', 'principal', { claims: { repository_id: 42, ref: 'refs/heads/main' } }],
    ['a list for its entry', 'principal', { claims: { repository_id: ['42'], ref: 'refs/heads/main' } }],
    ['a joined list', 'principal', { claims: { repository_id: '42,43', ref: 'refs/heads/main' } }],
    ['another branch', 'principal', { claims: { repository_id: '42', ref: 'refs/heads/main2' } }],
    ['another case', 'principal', { claims: { repository_id: '42', ref: 'refs/heads/Main' } }],
    ['a missing claim', 'principal', { claims: { repository_id: '42' } }],
    ['another task', 'task', { task: 'nightly' }],
    ['a task in another case', 'task', { task: 'Nightly-Report' }],
    ['no task', 'task', { task: '' }],
    ['a task with a line break', 'task', { task: 'backfill/a\nb' }],
    ['a task with NUL', 'task', { task: 'backfill/\0' }],
    ['half a character', 'task', { task: 'backfill/\ud800' }],
    ['a task that leads out', 'task', { task: 'backfill/..' }],
    ['a task that crosses its segment', 'task', { task: 'backfill/a/b' }],
    ['a task of 10,000 characters', 'task', { task: `backfill/${'a'.repeat(10_000)}` }],
    ['a purpose with NUL', 'purpose', { purpose: 'a\0' }],
    ['an endless purpose', 'purpose', { purpose: 'a'.repeat(1001) }],
    ['an unknown parameter', 'parameter', { parameters: { regoin: 'eu' } }],
    ['a value off the list', 'parameter', { parameters: { region: 'EU' } }],
    ['a value of another type', 'parameter', { parameters: { rows: '5' } }],
    ['a fraction', 'parameter', { parameters: { rows: 1.5 } }],
    ['a number out of bounds', 'parameter', { parameters: { rows: 101 } }],
    ['null for absent', 'parameter', { parameters: { rows: null } }],
    ['a list of one', 'parameter', { parameters: { region: ['eu'] } }],
    ['an unknown credential', 'credential', { credentials: ['vault'] }],
    ['an inherited name', 'credential', { credentials: ['constructor'] }],
    ['a credential twice', 'credential', { credentials: ['lake', 'lake'] }],
    ['no credential', 'credential', { credentials: [] }],
    ['a thousand credentials', 'credential', { credentials: Array.from({ length: 1000 }, () => 'lake') }],
    ['a TTL above the maximum', 'ttl', { ttlSeconds: 3601 }],
    ['a TTL above the maximum of one of them', 'ttl', { ttlSeconds: 1801 }],
    ['a TTL below the shortest', 'ttl', { ttlSeconds: 59 }],
    ['a negative TTL', 'ttl', { ttlSeconds: -600 }],
    ['a TTL that is no number', 'ttl', { ttlSeconds: Number.NaN }],
    ['a fraction of a second', 'ttl', { ttlSeconds: 600.5 }],
    ['the wrong time', 'condition', { now: NOON + 7 * 3_600_000 }],
  ])('%s', (_, reason, changes) => {
    expect(reasonOf(askOf(changes))).toBe(reason);
  });

  test('the same claims from another issuer', () => {
    const ask = askOf();
    expect(reasonOf({ ...ask, principal: { ...ask.principal, issuer: 'cluster' } })).toBe('principal');
  });

  test('claims that are inherited', () => {
    expect(reasonOf(askOf({ claims: Object.create({ repository_id: '42', ref: 'refs/heads/main' }) }))).toBe(
      'principal',
    );
  });

  test('an inherited member for a parameter', () => {
    const tricky = grantOf({
      parameters: { constructor: { type: 'string', max_length: 5 } },
      conditions: undefined,
      credentials: { warehouse: { target: 'warehouse', ttl: { max: '1h' }, scope: { role: 'r' } } },
    });
    expect(explain(tricky, none, askOf())).toContainEqual({
      subject: 'parameters.constructor',
      ok: false,
      expected: 'a value',
      actual: 'nothing',
    });
    expect(reasonOf(askOf({ parameters: { constructor: 'x' } }), none, tricky)).toBe('allowed');
  });

  test('a purpose that is missing or blank where one is required', () => {
    const strict = grantOf({ purpose: 'required' });
    expect(reasonOf(askOf(), null, strict)).toBe('purpose');
    expect(reasonOf(askOf({ purpose: ' \n' }), null, strict)).toBe('purpose');
    expect(reasonOf(askOf({ purpose: 'INC-7: rows are missing' }), null, strict)).toBe('allowed');
  });

  test('what fails to evaluate', () => {
    const failing = grantOf({ conditions: ['claims.nope == 1'] });
    const decision = decide(failing, null, askOf());
    expect(decision).toMatchObject({ ok: false, error: { reason: 'condition' } });
    expect(!decision.ok && decision.error.detail).toContain('No such key: nope');
  });

  test('a scope that the values turn into a dangerous one', () => {
    const open = grantOf({
      parameters: { role: { type: 'string', max_length: 20 } },
      credentials: {
        warehouse: { target: 'warehouse', ttl: { max: '1h' }, scope: { role: '{{ parameters.role }}' } },
      },
    });
    expect(reasonOf(askOf({ parameters: { role: 'reader' } }), null, open)).toBe('allowed');
    expect(reasonOf(askOf({ parameters: { role: 'superuser' } }), null, open)).toBe('scope');
    expect(reasonOf(askOf({ parameters: { role: 'x; DROP' } }), null, open)).toBe('scope');
  });

  test('a value of a pattern that leads out of its path', () => {
    const paths = grantOf({
      parameters: { path: { type: 'string', pattern: 'data/**' } },
      conditions: undefined,
      credentials: { warehouse: { target: 'warehouse', ttl: { max: '1h' }, scope: { role: 'r' } } },
    });
    expect(reasonOf(askOf({ parameters: { path: 'data/a/b' } }), null, paths)).toBe('allowed');
    expect(reasonOf(askOf({ parameters: { path: 'data/../secrets' } }), null, paths)).toBe('parameter');
    expect(reasonOf(askOf({ parameters: { path: 'data/./a' } }), null, paths)).toBe('parameter');
  });
});

describe('decide: with a task grant', () => {
  test('fixes parameters, narrows credentials and lifetimes', () => {
    const cut: Cut = {
      ...none,
      parameters: { region: 'us' },
      credentials: ['warehouse'],
      maxTtlSeconds: 300,
    };
    const decision = decide(grant, cut, askOf());
    expect(decision).toMatchObject({
      ok: true,
      value: {
        parameters: { region: 'us' },
        credentials: [{ name: 'warehouse', scope: { role: 'report_us' }, ttlSeconds: 300, capSeconds: 300 }],
      },
    });
  });

  test.each<[string, string, Partial<Cut>, Parameters<typeof askOf>[0]]>([
    ['another task that the grant covers', 'task-grant', {}, { task: 'backfill/7' }],
    ['a task that the grant no longer covers', 'task', { task: 'gone' }, { task: 'gone' }],
    [
      'another value than the fixed one',
      'task-grant',
      { parameters: { region: 'us' } },
      { parameters: { region: 'eu' } },
    ],
    ['a fixed value that the grant no longer allows', 'parameter', { parameters: { region: 'ap' } }, {}],
    ['a fixed parameter that is gone', 'task-grant', { parameters: { gone: 1 } }, {}],
    [
      'a credential that was cut away',
      'task-grant',
      { credentials: ['lake'] },
      { credentials: ['warehouse'] },
    ],
    ['a credential that is gone from the grant', 'credential', { credentials: ['gone'] }, {}],
    ['a TTL above what was left', 'task-grant', { maxTtlSeconds: 300 }, { ttlSeconds: 301 }],
    [
      'a TTL above the grant, whatever the task grant says',
      'ttl',
      { maxTtlSeconds: 9999 },
      { ttlSeconds: 9999 },
    ],
    ['what is too short to be given', 'task-grant', { maxTtlSeconds: 30 }, {}],
    ['another subject', 'task-grant', { subject: { issuer: 'github', subject: 'other' } }, {}],
    [
      'the subject of another issuer',
      'task-grant',
      { subject: { issuer: 'cluster', subject: 'repo:acme/reports:ref:refs/heads/main' } },
      {},
    ],
    ['a principal whom the grant does not let in', 'principal', {}, { claims: {} }],
  ])('refuses %s', (_, reason, cut, ask) => {
    expect(reasonOf(askOf(ask), { ...none, ...cut })).toBe(reason);
  });

  test('the subject it names may use it', () => {
    const subject = { issuer: 'github', subject: 'repo:acme/reports:ref:refs/heads/main' };
    expect(reasonOf(askOf(), { ...none, subject })).toBe('allowed');
  });
});

test('explain: says what was expected and found, claim by claim', () => {
  const checks = explain(grant, null, askOf({ claims: { repository_id: 42 }, parameters: { rows: 1000 } }));
  expect(checks.slice(0, 4)).toEqual([
    { subject: 'issuer', ok: true, expected: '"github"', actual: '"github"' },
    { subject: 'claims.repository_id', ok: false, expected: '"42"', actual: '42' },
    { subject: 'claims.ref', ok: false, expected: '"refs/heads/main"', actual: 'nothing' },
    expect.objectContaining({ subject: 'task', ok: true, expected: '"nightly-report" or glob "backfill/*"' }),
  ]);
  expect(checks).toContainEqual({
    subject: 'parameters.rows',
    ok: false,
    expected: '1 to 100',
    actual: '1000',
  });
});

test('explain: of several matchers lists the one that fits, or all of the issuer', () => {
  const either = grantOf({
    who: [
      { issuer: 'github', claims: { repository_id: '1' } },
      { issuer: 'cluster', claims: { sub: 'x' } },
      { issuer: 'github', claims: { repository_id: '42' } },
    ],
  });
  const claims = (ask: Ask) => explain(either, null, ask).filter(({ subject }) => subject.includes('claims'));
  expect(claims(askOf()).map(({ subject, ok }) => [subject, ok])).toEqual([
    ['who[2].claims.repository_id', true],
  ]);
  expect(claims(askOf({ claims: {} })).map(({ subject }) => subject)).toEqual([
    'who[0].claims.repository_id',
    'who[2].claims.repository_id',
  ]);
});

test('explain: shows what is hostile or huge as bounded text without control characters', () => {
  const checks = explain(
    grant,
    null,
    askOf({ task: `\u001b[2J\u202e${'x'.repeat(5000)}`, claims: { ref: { a: 'y'.repeat(9999) } } }),
  );
  for (const { actual } of checks) {
    expect(actual.length).toBeLessThan(300);
    expect(actual).not.toMatch(/[\p{Cc}\u202e]/u);
  }
});

/** Asks that are right, nearly right and wild, in every part. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('__proto__', 'constructor', '', '..'),
);
const anyAsk = fc
  .record({
    issuer: fc.constantFrom('github', 'github', 'github', 'github', 'cluster', ''),
    claims: fc.oneof(
      { weight: 3, arbitrary: fc.constant({ repository_id: '42', ref: 'refs/heads/main' }) },
      fc.dictionary(
        fc.oneof(fc.constantFrom('repository_id', 'ref'), hostile),
        fc.jsonValue({ maxDepth: 1 }),
      ),
    ),
    task: fc.oneof(fc.constantFrom('nightly-report', 'backfill/1'), fc.constant('nightly-report'), hostile),
    purpose: fc.oneof(fc.constant(null), hostile),
    ticket: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, fc.constant('OPS-1'), hostile),
    parameters: fc.oneof(
      fc.constantFrom<Record<string, Json>>({}, { region: 'us' }, { rows: 3 }),
      fc.dictionary(fc.oneof(fc.constantFrom('region', 'rows'), hostile), fc.jsonValue({ maxDepth: 1 })),
    ),
    credentials: fc.oneof(
      fc.constant(null),
      fc.array(fc.oneof(fc.constantFrom('warehouse', 'lake'), hostile), { maxLength: 3 }),
    ),
    ttlSeconds: fc.oneof(fc.constant(null), fc.integer({ min: -1, max: 9999 }), fc.double()),
    now: fc.integer({ min: NOON, max: NOON + 8 * 3_600_000 }),
  })
  .map(({ issuer, claims, ...ask }) => ({
    ...ask,
    parameters: ask.parameters as Record<string, Json>,
    principal: { ...askOf().principal, issuer, claims: claims as Record<string, Json> },
  }));
const anyCut = fc.oneof(
  { weight: 2, arbitrary: fc.constant(null) },
  fc.record({
    task: fc.oneof(fc.constantFrom('nightly-report', 'backfill/1'), fc.constant('nightly-report'), hostile),
    parameters: fc.oneof(
      fc.constantFrom<Record<string, Json>>({}, { region: 'us' }),
      fc.constant({ gone: 1 }),
    ),
    credentials: fc.oneof(fc.constant(null), fc.constantFrom(['lake'], ['gone'], [])),
    maxTtlSeconds: fc.oneof(fc.constant(null), fc.integer({ min: -1, max: 5000 })),
    subject: fc.oneof(fc.constant(null), fc.constant({ issuer: 'github', subject: 'other' })),
  }),
);

test('decide and explain: never disagree, whatever is asked', () => {
  const answers = { allowed: 0, refused: 0 };
  fc.assert(
    fc.property(anyAsk, anyCut, (ask, cut) => {
      const decision = decide(grant, cut, ask);
      const failed = explain(grant, cut, ask).find((check) => !check.ok);
      expect(decision.ok).toBe(failed === undefined);
      if (!decision.ok) expect(decision.error.detail.startsWith(`${failed?.subject}: `)).toBe(true);
      answers[decision.ok ? 'allowed' : 'refused']++;
    }),
    { numRuns: 3000 },
  );
  expect(answers.allowed).toBeGreaterThan(20);
  expect(answers.refused).toBeGreaterThan(20);
});

test('decide: what is allowed is never wider than the grant, nor than the cut', () => {
  fc.assert(
    fc.property(anyAsk, anyCut, (ask, cut) => {
      const decision = decide(grant, cut, ask);
      if (!decision.ok) return;
      const { credentials, parameters } = decision.value;
      expect(ask.principal.claims.repository_id).toBe('42');
      expect(['eu', 'us']).toContain(parameters.region);
      expect(credentials.length).toBe((ask.credentials ?? cut?.credentials ?? ['warehouse', 'lake']).length);
      for (const credential of credentials) {
        const { ttl } = grant.credentials.get(credential.name)!;
        const max = Math.min(ttl.maxSeconds, cut?.maxTtlSeconds ?? Number.POSITIVE_INFINITY);
        expect(credential.ttlSeconds).toBeLessThanOrEqual(max);
        expect(credential.ttlSeconds).toBeGreaterThanOrEqual(60);
        expect(credential.capSeconds).toBeLessThanOrEqual(ttl.capSeconds);
        expect(cut?.credentials ?? [credential.name]).toContain(credential.name);
      }
    }),
    { numRuns: 3000 },
  );
});
