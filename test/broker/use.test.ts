import fc from 'fast-check';
import { expect, test } from 'vitest';
import { afterUse, type LastLook, MAX_PLACES, type Seen, useAtEnd } from '../../src/broker/use.ts';
import type { LeaseRow, LeaseUse } from '../../src/store/rows.ts';
import { leaseRow, taskRow } from '../support/rows.ts';
import { createTestRuntime, TEST_EPOCH } from '../support/runtime.ts';

const NOW = TEST_EPOCH + 600_000;
const GAP_MS = 30_000;
const SESSION = { address: '10.1.2.3', application: 'psql', since: null };

function leaseWith(over: Partial<LeaseRow>): LeaseRow {
  const runtime = createTestRuntime();
  return leaseRow(runtime, taskRow(runtime), {
    issuedAt: runtime.now(),
    state: 'ending',
    attempts: 1,
    ...over,
  });
}

function look(over: Partial<LastLook>): LastLook {
  const coverage = { unbrokenSince: TEST_EPOCH, lookedAt: NOW - GAP_MS };
  return { sessions: [], coverage, now: NOW, gapMs: GAP_MS, ...over };
}

function usedAt(at: number): LeaseUse {
  return afterUse(null, [{ ...SESSION, at }])!.use;
}

test('useAtEnd: says not seen where looks followed each other from before it was issued', () => {
  expect(useAtEnd(leaseWith({}), look({}))).toEqual({ verdict: 'not-seen', lookedEverySeconds: 30 });
});

const UNKNOWN: readonly [string, Partial<LeaseRow>, Partial<LastLook>, string][] = [
  ['its target shows no sessions', {}, { sessions: undefined }, 'not-observed'],
  ['nobody ever looked', {}, { coverage: null }, 'observed-in-part'],
  [
    'looks began after its intent',
    {},
    { coverage: { unbrokenSince: TEST_EPOCH + 1, lookedAt: NOW } },
    'observed-in-part',
  ],
  [
    'the last look is too old',
    {},
    { coverage: { unbrokenSince: TEST_EPOCH, lookedAt: NOW - GAP_MS - 1 } },
    'observed-in-part',
  ],
  ['an attempt to end it came before', { attempts: 2 }, {}, 'ended-in-parts'],
];
for (const [title, lease, seen, why] of UNKNOWN)
  test(`useAtEnd: is unknown when ${title}`, () => {
    expect(useAtEnd(leaseWith(lease), look(seen))).toEqual({ verdict: 'unknown', why });
    // What was seen is known, however little else is.
    const use = usedAt(TEST_EPOCH + 5);
    expect(useAtEnd(leaseWith({ ...lease, use }), look(seen))).toEqual(use);
  });

test('useAtEnd: says nothing of a credential that nobody received, unless somebody used it', () => {
  const undelivered = leaseWith({ issuedAt: null });
  expect(useAtEnd(undelivered, look({}))).toBeNull();
  expect(useAtEnd(undelivered, look({ sessions: [SESSION] }))).toMatchObject({ verdict: 'used' });
});

test('useAtEnd: counts the sessions that its end found', () => {
  const use = usedAt(TEST_EPOCH + 5);
  const sessions = [SESSION, { ...SESSION, application: 'dbt' }];
  expect(useAtEnd(leaseWith({ use }), look({ sessions }))).toEqual({
    verdict: 'used',
    firstSeenAt: TEST_EPOCH + 5,
    lastSeenAt: NOW,
    places: [
      { address: '10.1.2.3', application: 'psql' },
      { address: '10.1.2.3', application: 'dbt' },
    ],
    more: false,
  });
});

test('afterUse: a session that stays open is written once a minute', () => {
  const use = usedAt(1_000_000);
  expect(afterUse(use, [{ ...SESSION, at: 1_059_999 }])).toBeNull();
  expect(afterUse(use, [{ ...SESSION, at: 1_060_000 }])).toMatchObject({
    use: { firstSeenAt: 1_000_000, lastSeenAt: 1_060_000 },
    fresh: [],
  });
});

test('afterUse: whatever is seen in whatever order, places are bounded, and none is told twice', () => {
  const one = fc.record({
    address: fc.option(fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3')),
    application: fc.option(fc.string({ maxLength: 300 })),
    since: fc.constant(null),
    at: fc.integer({ min: 0, max: 10_000_000 }),
  });
  fc.assert(
    fc.property(fc.array(fc.array(one, { minLength: 1, maxLength: 6 }), { minLength: 1 }), (looks) => {
      let use: LeaseUse | null = null;
      const told: Seen[] = [];
      for (const seen of looks) {
        const after = afterUse(use, seen);
        if (after === null) continue;
        use = after.use;
        told.push(...after.fresh);
      }
      if (use?.verdict !== 'used') throw new Error('it was seen');
      const keys = told.map(({ address, application }) => JSON.stringify([address, application]));
      expect(new Set(keys).size).toBe(keys.length);
      expect(use.places).toEqual(told.map(({ address, application }) => ({ address, application })));
      expect(use.places.length).toBeLessThanOrEqual(MAX_PLACES);
      const all = new Set(
        looks.flat().map((seen) => JSON.stringify([seen.address, seen.application?.slice(0, 200) ?? null])),
      );
      expect(use.more).toBe(all.size > MAX_PLACES);
      expect(use.places.length).toBe(Math.min(all.size, MAX_PLACES));
    }),
  );
});
