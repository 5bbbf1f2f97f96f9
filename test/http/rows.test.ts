import { describe, expect, it } from 'vitest';
import { isOverdue } from '../../src/http/rows.ts';
import type { LeaseRow } from '../../src/store/rows.ts';

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
