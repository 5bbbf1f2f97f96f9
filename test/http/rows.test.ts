import { describe, expect, it } from 'vitest';
import { isOverdue } from '../../src/http/rows.ts';
import type { LeaseRow } from '../../src/store/rows.ts';

describe('isOverdue', () => {
  const lease = (row: Partial<LeaseRow>) =>
    ({
      state: 'active',
      expiresAt: 1_000_000,
      dueAt: 1_000_000,
      endingSince: null,
      attempts: 0,
      ...row,
    }) as LeaseRow;
  const ending = { state: 'ending', endingSince: 500_000, attempts: 1 } as const;

  it.each([
    ['live and before its expiry', lease({}), 999_999, false],
    ['live, long after its expiry', lease({}), 1_070_000, true],
    ['live, and nobody looks at it when it is due', lease({ dueAt: 600_000 }), 670_000, true],
    ['ending for a moment', lease({ ...ending, dueAt: 560_000 }), 510_000, false],
    ['waiting to lapse by itself', lease(ending), 900_000, false],
    ['failing to end for long', lease({ ...ending, attempts: 2, dueAt: 600_000 }), 570_000, true],
    ['ended', lease({ state: 'ended', endingSince: 1, dueAt: null }), 9_000_000, false],
  ])('%s', (_, row, now, overdue) => {
    expect(isOverdue(row, now)).toBe(overdue);
  });
});
