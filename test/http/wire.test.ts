import { describe, expect, it } from 'vitest';
import { problemCodes } from '../../src/http/contract.ts';
import { isOverdue, PROBLEMS, problemBody, retryAfterSeconds, thrownFault } from '../../src/http/wire.ts';
import type { LeaseRow } from '../../src/store/rows.ts';

describe('problemBody', () => {
  it('has a status and a title of its own for every code', () => {
    expect(Object.keys(PROBLEMS).toSorted()).toEqual([...problemCodes].toSorted());
    expect(new Set(Object.values(PROBLEMS).map(({ title }) => title)).size).toBe(problemCodes.length);
  });

  it('says internal for whatever is not known, without its message', () => {
    for (const thrown of [new Error('x'), 'x', null, undefined, { code: 'store-unavailable' }])
      expect(JSON.stringify(problemBody(thrownFault(thrown), 'r'))).not.toMatch(/"x"|store/);
  });

  it('rounds a wait up to whole seconds, at least one', () => {
    expect([0, 1, 1000, 1001].map(retryAfterSeconds)).toEqual([1, 1, 1, 2]);
  });
});

describe('isOverdue', () => {
  const lease = (row: Partial<LeaseRow>) =>
    ({ state: 'active', expiresAt: 1_000_000, endingSince: null, ...row }) as LeaseRow;

  it.each([
    ['live and before its expiry', lease({}), 999_999, false],
    ['live, long after its expiry', lease({}), 1_070_000, true],
    ['ending for a moment', lease({ state: 'ending', endingSince: 500_000 }), 510_000, false],
    ['ending for long, before its expiry', lease({ state: 'ending', endingSince: 500_000 }), 570_000, true],
    ['ended', lease({ state: 'ended', endingSince: 1 }), 9_000_000, false],
  ])('%s', (_, row, now, overdue) => {
    expect(isOverdue(row, now)).toBe(overdue);
  });
});
