import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  afterLook,
  type FallbackRule,
  LOOK_EVERY_MS,
  LOOK_FRESH_MS,
  takenSince,
} from '../../src/broker/fallback-state.ts';
import type { FallbackRow } from '../../src/store/rows.ts';
import { TEST_EPOCH } from '../support/runtime.ts';

const RULE: FallbackRule = { issuer: 'stand-in', standsFor: 'staff', afterSeconds: 120 };
const AFTER_MS = RULE.afterSeconds * 1000;

/** Looks at these instants, each of which reached the issuer or not. */
function looks(made: readonly (readonly [at: number, reached: boolean])[], rule = RULE) {
  return made.reduce<FallbackRow | null>((row, [at, reached]) => afterLook(rule, row, reached, at), null);
}

/** Looks every quarter of a minute, from an instant until another, all of which fail. */
function failures(from: number, until: number) {
  const made: [number, boolean][] = [];
  for (let at = from; at <= until; at += LOOK_EVERY_MS) made.push([at, false]);
  return made;
}

test('takenSince: nobody has looked, so it is refused', () => {
  expect(takenSince(RULE, null, TEST_EPOCH)).toMatchObject({ ok: false, error: /not known/ });
});

test('takenSince: one look that failed opens nothing, however long ago', () => {
  const row = looks([
    [TEST_EPOCH, true],
    [TEST_EPOCH + LOOK_EVERY_MS, false],
  ]);
  for (const later of [0, LOOK_FRESH_MS, AFTER_MS, 10 * AFTER_MS])
    expect(takenSince(RULE, row, TEST_EPOCH + LOOK_EVERY_MS + later).ok).toBe(false);
});

test('takenSince: after looks that all failed for long enough it is taken, until one succeeds', () => {
  const end = TEST_EPOCH + AFTER_MS;
  const open = looks(failures(TEST_EPOCH, end));
  expect(takenSince(RULE, open, end)).toEqual({ ok: true, value: TEST_EPOCH });
  const closed = afterLook(RULE, open, true, end + LOOK_EVERY_MS);
  expect(takenSince(RULE, closed, end + LOOK_EVERY_MS)).toMatchObject({ ok: false, error: /use it/ });
  const again = afterLook(RULE, closed, false, end + 2 * LOOK_EVERY_MS);
  expect(takenSince(RULE, again, end + 2 * LOOK_EVERY_MS).ok).toBe(false);
});

test('takenSince: time in which nobody looked does not count, and what was found before it is not known now', () => {
  const open = looks(failures(TEST_EPOCH, TEST_EPOCH + AFTER_MS));
  const late = TEST_EPOCH + AFTER_MS + LOOK_FRESH_MS + 1;
  expect(takenSince(RULE, open, late)).toMatchObject({ ok: false, error: /not known/ });
  expect(takenSince(RULE, afterLook(RULE, open, false, late), late).ok).toBe(false);
});

test('takenSince: what was found for another issuer, or by a shorter rule, does not count', () => {
  const end = TEST_EPOCH + AFTER_MS;
  const open = looks(failures(TEST_EPOCH, end));
  expect(takenSince({ ...RULE, standsFor: 'others' }, open, end).ok).toBe(false);
  expect(takenSince({ ...RULE, afterSeconds: 121 }, open, end).ok).toBe(false);
  const moved = afterLook({ ...RULE, standsFor: 'others' }, open, false, end);
  expect(moved).toMatchObject({ state: 'closed', failingSince: end, reachedAt: null });
});

test('takenSince: property: it is taken only when every look for so long failed, without a gap', () => {
  const step = fc.tuple(fc.integer({ min: 1, max: 90_000 }), fc.boolean());
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 90_000 }), (steps, wait) => {
      let at = TEST_EPOCH;
      const made = steps.map(([gap, reached]) => {
        at += gap;
        return [at, reached] as const;
      });
      const now = at + wait;
      const taken = takenSince(RULE, looks(made), now).ok;
      // The judgement of somebody who knows all looks: back from now, how far do failures reach without a gap?
      let since = now;
      for (const [when, reached] of made.toReversed()) {
        if (reached || since - when > LOOK_FRESH_MS) break;
        since = when;
      }
      const last = made.at(-1)?.[0] ?? 0;
      expect(taken).toBe(now - last <= LOOK_FRESH_MS && last - since >= AFTER_MS);
    }),
    { numRuns: 2000 },
  );
});
