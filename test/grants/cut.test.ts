import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type CutWish, cutGrant, readCut } from '../../src/grants/cut.ts';
import { decide } from '../../src/grants/decide.ts';
import type { Json } from '../../src/json.ts';
import { askOf, grantOf, NOON } from './support.ts';

const grant = grantOf();
const wishOf = (changes: Partial<CutWish> = {}): CutWish => ({
  task: 'backfill/7',
  parameters: { region: 'us' },
  credentials: ['warehouse'],
  maxTtlSeconds: 300,
  subject: { issuer: 'github', subject: 's' },
  expiresInSeconds: 3600,
  uses: 2,
  ...changes,
});

test('cutGrant: makes what was wished, from now on', () => {
  const { expiresInSeconds: _, uses, ...cut } = wishOf();
  expect(cutGrant(grant, wishOf(), NOON)).toEqual({
    ok: true,
    value: { cut, expiresAt: NOON + 3_600_000, uses },
  });
});

test.each<[string, Partial<CutWish>]>([
  ['task', { task: 'other' }],
  ['task', { task: 'backfill/7/8' }],
  ['parameters: unknown "regoin": did you mean "region"?', { parameters: { regoin: 'eu' } }],
  ['parameters.region', { parameters: { region: 'ap' } }],
  ['parameters.rows', { parameters: { rows: '3' } }],
  ['credentials: unknown "vault"', { credentials: ['vault'] }],
  ['credentials: "lake" is there twice', { credentials: ['lake', 'lake'] }],
  ['credentials: name one', { credentials: [] }],
  ['max_ttl: ask for 1m to 1h', { maxTtlSeconds: 3601 }],
  ['max_ttl', { maxTtlSeconds: 59 }],
  ['max_ttl', { maxTtlSeconds: Number.NaN }],
  ['max_ttl: ask for 1m to 30m', { maxTtlSeconds: 1801, credentials: ['lake'] }],
  ['subject', { subject: { issuer: 'cluster', subject: 's' } }],
  ['expires_in: ask for 1s to 2h', { expiresInSeconds: 7201 }],
  ['expires_in', { expiresInSeconds: 0 }],
  ['expires_in', { expiresInSeconds: -1 }],
  ['uses: ask for 1 to 3', { uses: 4 }],
  ['uses', { uses: 0 }],
  ['uses', { uses: 0.5 }],
  ['uses', { uses: Number.POSITIVE_INFINITY }],
])('cutGrant: refuses %s in %j', (fault, changes) => {
  const cut = cutGrant(grant, wishOf(changes), NOON);
  expect(cut).toMatchObject({ ok: false, error: { reason: 'task-grant' } });
  expect(!cut.ok && cut.error.detail).toContain(fault);
});

test('cutGrant: refuses where the grant allows none', () => {
  expect(cutGrant(grantOf({ task_grants: undefined }), wishOf(), NOON).ok).toBe(false);
});

test('cutGrant: what it makes lets nobody do what the grant does not', () => {
  const wish = fc.record({
    task: fc.constantFrom('backfill/7', 'nightly-report', 'other'),
    parameters: fc.constantFrom<Record<string, Json>>({}, { region: 'us' }, { region: 'ap' }),
    credentials: fc.constantFrom(null, ['lake'], ['warehouse'], ['vault']),
    maxTtlSeconds: fc.oneof(fc.constant(null), fc.integer({ min: 0, max: 4000 })),
    subject: fc.constantFrom(null, { issuer: 'github', subject: 's' }),
    expiresInSeconds: fc.integer({ min: 0, max: 8000 }),
    uses: fc.integer({ min: 0, max: 5 }),
  });
  const ask = fc.record({
    task: fc.constantFrom('backfill/7', 'nightly-report', 'other'),
    parameters: fc.constantFrom<Record<string, Json>>({}, { region: 'eu' }, { region: 'us' }),
    credentials: fc.constantFrom(null, ['lake'], ['warehouse', 'lake']),
    ttlSeconds: fc.constantFrom(null, 60, 300, 1800, 3600),
    subject: fc.constantFrom('s', 't'),
  });
  let allowed = 0;
  fc.assert(
    fc.property(wish, ask, (wished, asked) => {
      const made = cutGrant(grant, wished, NOON);
      if (!made.ok) return;
      const byCut = decide(grant, made.value.cut, askOf(asked));
      if (!byCut.ok) return;
      allowed++;
      const { parameters, credentials } = byCut.value;
      const spelledOut = askOf({
        ...asked,
        parameters,
        credentials: credentials.map(({ name }) => name),
        ttlSeconds: Math.min(...credentials.map(({ ttlSeconds }) => ttlSeconds)),
      });
      expect(decide(grant, null, spelledOut).ok).toBe(true);
      expect(asked.task).toBe(wished.task);
    }),
    { numRuns: 2000 },
  );
  // That the property was put to anything at all: some 40 of the 2,000 are allowed.
  expect(allowed).toBeGreaterThan(5);
});

test('readCut: reads what was stored, and nothing else', () => {
  const made = cutGrant(grant, wishOf(), NOON);
  if (!made.ok) throw new Error(made.error.detail);
  const { cut } = made.value;
  expect(readCut(JSON.parse(JSON.stringify(cut)))).toEqual(cut);
  for (const damaged of [null, {}, [], { ...cut, more: 1 }, { ...cut, credentials: 'all' }])
    expect(readCut(damaged as Json)).toBeNull();
});
