import type { EndReason, Outcome } from '../audit/event.ts';
import { HallpassError } from '../errors.ts';
import type { Json } from '../json.ts';
import type { LeaseRow, LeaseUse } from '../store/rows.ts';

/**
 * A lease begins in `minting`: its intent is committed, its provider has not answered. With the provider's answer it
 * becomes `active`. From either it goes to `ending`, once there is a reason; there it stays, however long that takes,
 * until its end is settled, and then it is `ended` with an outcome, for good. Only a mint that the target refused
 * ends without passing through `ending`, since there is nothing to end.
 *
 * `dueAt` says when the reaper must look: while minting at the end of the mint window, while active at the earlier of
 * expiry and heartbeat deadline, while ending at the next attempt. Whoever works on a lease moves it forward first.
 * A kill leaves the state to the reaper as well: it gives the lease its `endReason` and makes it due.
 */
const ALLOWED = {
  issue: ['minting'],
  renew: ['active'],
  note: ['active'],
  'see-use': ['active', 'ending', 'ended'],
  postpone: ['active', 'ending'],
  'begin-ending': ['minting', 'active'],
  'end-later': ['ending'],
  end: ['minting', 'ending'],
} as const satisfies Record<string, readonly LeaseRow['state'][]>;

/** What can happen to a lease, with what it brings. */
export type LeaseAction =
  /** The provider answered. */
  | {
      readonly do: 'issue';
      readonly issuedAt: number;
      readonly expiresAt: number;
      readonly dueAt: number;
      readonly handle: Json;
      readonly sealed: string | null;
    }
  /** It lives longer, up to its cap. */
  | { readonly do: 'renew'; readonly expiresAt: number; readonly dueAt: number }
  /** What was extended or not at the target, or null: nothing is amiss. */
  | { readonly do: 'note'; readonly error: string | null }
  /** It was seen in use, or more is known of that. Changes nothing of its state: what has ended stays so. */
  | { readonly do: 'see-use'; readonly use: LeaseUse }
  /** The reaper need not look before; or what was made turns out to have a handle, and to live longer than asked. */
  | { readonly do: 'postpone'; readonly dueAt: number; readonly handle?: Json; readonly expiresAt?: number }
  /** It has to end. `attempts` is 1 when the caller goes on to end it himself, under the claim that `dueAt` is. */
  | {
      readonly do: 'begin-ending';
      readonly reason: EndReason;
      readonly at: number;
      readonly dueAt: number;
      readonly attempts: 0 | 1;
    }
  /** The attempt failed and there will be another; or it succeeded, as `evidence` says, and is in force from `dueAt`. */
  | {
      readonly do: 'end-later';
      readonly dueAt: number;
      readonly error: string | null;
      readonly evidence?: Json;
    }
  /** It is gone, as the outcome says. */
  | {
      readonly do: 'end';
      readonly at: number;
      readonly outcome: Outcome;
      readonly evidence: Json;
      readonly use: LeaseUse | null;
      readonly reason?: EndReason;
    };

/** The lease after the action: the one function that changes a lease's state. Throws on an action that its state forbids: a bug. */
export function changeLease(lease: LeaseRow, action: LeaseAction): LeaseRow {
  const allowed: readonly LeaseRow['state'][] = ALLOWED[action.do];
  if (!allowed.includes(lease.state)) {
    throw new HallpassError(
      'store-conflict',
      `Cannot ${action.do} lease "${lease.id}": it is ${lease.state}`,
    );
  }
  switch (action.do) {
    case 'issue':
      return {
        ...lease,
        state: 'active',
        issuedAt: action.issuedAt,
        expiresAt: action.expiresAt,
        dueAt: action.dueAt,
        handle: action.handle,
        sealed: action.sealed,
      };
    case 'renew':
      return { ...lease, expiresAt: action.expiresAt, dueAt: action.dueAt };
    case 'postpone':
      return {
        ...lease,
        dueAt: action.dueAt,
        handle: action.handle ?? lease.handle,
        expiresAt: action.expiresAt ?? lease.expiresAt,
      };
    case 'note':
      return { ...lease, lastError: action.error };
    case 'see-use':
      return { ...lease, use: action.use };
    case 'begin-ending':
      return {
        ...lease,
        state: 'ending',
        // That of a kill, if it was made due by one.
        endReason: lease.endReason ?? action.reason,
        endingSince: action.at,
        dueAt: action.dueAt,
        attempts: action.attempts,
        sealed: null,
      };
    case 'end-later':
      return {
        ...lease,
        dueAt: action.dueAt,
        lastError: action.error ?? lease.lastError,
        evidence: action.evidence ?? lease.evidence,
      };
    case 'end':
      return {
        ...lease,
        state: 'ended',
        endReason: lease.endReason ?? action.reason ?? null,
        endingSince: lease.endingSince ?? action.at,
        dueAt: null,
        endedAt: action.at,
        outcome: action.outcome,
        evidence: action.evidence,
        use: action.use,
        sealed: null,
      };
  }
}

/** The row as it stands once the commit of a change to it has succeeded. */
export function committed<Row extends { readonly version: number }>(row: Row): Row {
  return { ...row, version: row.version + 1 };
}

/**
 * When a lease became due to be gone, if it has not ended; null while it is as it should be. It is overdue when that
 * lies back further than the broker's `overdueAfterMs`: nobody looked, it passed its expiry, or ending it fails.
 */
export function overdueAt(row: LeaseRow): number | null {
  if (row.state === 'ended' || row.dueAt === null) return null;
  const failing = row.state === 'ending' && row.attempts > 1 ? row.endingSince : null;
  return Math.min(row.dueAt, row.expiresAt, failing ?? Number.POSITIVE_INFINITY);
}
