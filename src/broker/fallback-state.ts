import { instant } from '../instant.ts';
import { err, ok, type Result } from '../result.ts';
import type { FallbackRow } from '../store/rows.ts';

/**
 * An issuer that stands in for another is `closed` until every look at the other has failed, without a gap, for the time
 * that is configured; then it is `open`, until one look of any replica succeeds. A look that failed says little: the path
 * to it may be cut for this replica alone, or for this moment. So time in which nobody looked never counts, and what is
 * not known to be away is not away (invariant 6). Pure: who looks, and when, is not decided here.
 */
export interface FallbackRule {
  /** The issuer that stands in. */
  readonly issuer: string;
  readonly standsFor: string;
  readonly afterSeconds: number;
}

/** How often each replica looks. */
export const LOOK_EVERY_MS = 15_000;

/** What was found longer ago than this says nothing of now: three looks that were missed, and their time-outs. */
export const LOOK_FRESH_MS = 60_000;

/** What is known after a look; `row` is what was known before it, by any replica. `version` stays that of `row`. */
export function afterLook(
  rule: FallbackRule,
  row: FallbackRow | null,
  reached: boolean,
  now: number,
): FallbackRow {
  const before = row?.standsFor === rule.standsFor ? row : null;
  const base = {
    issuer: rule.issuer,
    version: row?.version ?? 0,
    standsFor: rule.standsFor,
    reachedAt: before?.reachedAt ?? null,
    lookedAt: now,
  };
  if (reached) return { ...base, state: 'closed', reachedAt: now, failingSince: null };
  const unbroken = before !== null && before.failingSince !== null && isFresh(before, now);
  const failingSince = unbroken ? (before.failingSince ?? now) : now;
  return { ...base, state: isLongEnough(rule, failingSince, now) ? 'open' : 'closed', failingSince };
}

/** Since when the other issuer is away, when what stands in for it may be taken; else why it may not. */
export function takenSince(rule: FallbackRule, row: FallbackRow | null, now: number): Result<number, string> {
  const name = JSON.stringify(rule.standsFor);
  if (row === null || row.standsFor !== rule.standsFor || !isFresh(row, now))
    return err(`it is not known whether ${name} can be reached`);
  if (row.failingSince === null) return err(`${name} can be reached: use it`);
  if (row.state !== 'open' || !isLongEnough(rule, row.failingSince, now)) {
    const since = instant(row.failingSince);
    return err(`${name} is out of reach since ${since}, and it takes ${rule.afterSeconds} seconds`);
  }
  return ok(row.failingSince);
}

function isFresh(row: FallbackRow, now: number): boolean {
  return Math.abs(now - row.lookedAt) <= LOOK_FRESH_MS;
}

function isLongEnough({ afterSeconds }: FallbackRule, failingSince: number, now: number): boolean {
  return now - failingSince >= afterSeconds * 1000;
}
