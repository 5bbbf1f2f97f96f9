import type { NewEvent, UseAtEnd } from '../audit/event.ts';
import { instant } from '../instant.ts';
import type { Sighting } from '../providers/provider.ts';
import { readLease } from '../store/leases.ts';
import type { LeaseRow, LeaseUse, UsePlace } from '../store/rows.ts';
import type { Coverage } from '../store/target-watch.ts';
import { aboutLease } from './about.ts';
import type { Broker } from './broker.ts';
import { changeLease } from './lease.ts';
import { CHANGE_ATTEMPTS } from './mint.ts';

/** Places of one lease that are kept, each with an event: who changes his name with every session fills no log. */
export const MAX_PLACES = 8;

/** `lastSeenAt` is written when it would move by as much: a session that stays open costs a write a minute. */
const LAST_SEEN_GRAIN_MS = 60_000;

/** Characters of what a client says of itself. */
const MAX_APPLICATION = 200;

/** A use, and when it was seen. Milliseconds since the epoch. */
export interface Seen extends Sighting {
  readonly at: number;
  /** What the audit trail that told of it says. */
  readonly trail?: NonNullable<UsedData['trail']>;
  /** It may have been another of so many leases. */
  readonly mayBeOf?: number;
}

type UsedData = Extract<NewEvent, { readonly kind: 'credential.used' }>['data'];

export type SeenUse = Extract<LeaseUse, { readonly firstSeenAt: number }>;

/** What is known of a use after it was seen once more, and the places that are new; null when nothing is worth a write. */
export function afterUse(
  before: LeaseUse | null,
  seen: readonly Seen[],
  grainMs = LAST_SEEN_GRAIN_MS,
): { readonly use: SeenUse; readonly fresh: readonly Seen[] } | null {
  const [first] = seen;
  if (first === undefined) return null;
  const verdict = first.mayBeOf === undefined ? 'used' : 'maybe-used';
  // What may have been another's says nothing of one that is known to have been used.
  if (before?.verdict === 'used' && verdict !== 'used') return null;
  const known = before?.verdict === verdict ? before : null;
  const places: UsePlace[] = [...(known?.places ?? [])];
  const fresh: Seen[] = [];
  let more = known?.more ?? false;
  for (const one of seen.map(bounded)) {
    if (places.some((place) => samePlace(place, one))) continue;
    if (places.length === MAX_PLACES) {
      more = true;
      continue;
    }
    places.push({ address: one.address, application: one.application });
    fresh.push(one);
  }
  const instants = seen.map(({ at }) => at);
  const firstSeenAt = Math.min(known?.firstSeenAt ?? first.at, ...instants);
  const lastSeenAt = Math.max(known?.lastSeenAt ?? first.at, ...instants);
  const moved = known === null || lastSeenAt - known.lastSeenAt >= grainMs;
  if (!moved && fresh.length === 0 && more === known.more) return null;
  return { use: { verdict, firstSeenAt, lastSeenAt, places, more }, fresh };
}

function bounded(seen: Seen): Seen {
  return { ...seen, application: seen.application?.slice(0, MAX_APPLICATION) ?? null };
}

function samePlace(a: UsePlace, b: UsePlace): boolean {
  return a.address === b.address && a.application === b.application;
}

/** What the target showed while a lease was ended, and how it was looked at until then. */
export interface LastLook {
  /** Sessions that were open when the end came; undefined where the target shows none. */
  readonly sessions: readonly Sighting[] | undefined;
  readonly coverage: Coverage | null;
  readonly now: number;
  /** The longest time between two looks that still follow each other. */
  readonly gapMs: number;
}

/**
 * What is known of the use of a lease at its end: null for one that nobody received and nobody used. "Not seen" is said
 * only where looks followed each other from before it was issued, and the end itself saw nothing at its first attempt:
 * one before it may have cut sessions without our hearing of it.
 */
export function useAtEnd(lease: LeaseRow, { sessions, coverage, now, gapMs }: LastLook): LeaseUse | null {
  const seen = afterUse(
    lease.use,
    (sessions ?? []).map((session) => ({ ...session, at: now })),
    0,
  );
  if (seen !== null) return seen.use;
  if (lease.use !== null) return lease.use;
  if (lease.issuedAt === null) return null;
  if (sessions === undefined) return { verdict: 'unknown', why: 'not-observed' };
  if (lease.attempts > 1) return { verdict: 'unknown', why: 'ended-in-parts' };
  const covered =
    coverage !== null && coverage.unbrokenSince <= lease.createdAt && now - coverage.lookedAt <= gapMs;
  if (!covered) return { verdict: 'unknown', why: 'observed-in-part' };
  return { verdict: 'not-seen', lookedEverySeconds: Math.ceil(gapMs / 1000) };
}

/** The same for the log. */
export function useData(use: LeaseUse): UseAtEnd {
  if (use.verdict === 'not-seen' || use.verdict === 'unknown') return use;
  const { verdict, firstSeenAt, lastSeenAt, places, more } = use;
  return {
    verdict,
    firstSeenAt: instant(firstSeenAt),
    lastSeenAt: instant(lastSeenAt),
    places: places.length,
    more,
  };
}

function usedEvent(lease: LeaseRow, { at, since, address, application, trail, mayBeOf }: Seen): NewEvent {
  return {
    kind: 'credential.used',
    actor: { kind: 'system' },
    about: aboutLease(lease),
    data: {
      how: trail === undefined ? 'session' : 'trail',
      seenAt: instant(at),
      since: since === null ? null : instant(since),
      address,
      application,
      ...(trail === undefined ? {} : { trail }),
      ...(mayBeOf === undefined ? {} : { mayBeOf }),
    },
  };
}

/**
 * Writes that a lease was seen in use, with the events of places that are new. `lease` is as the caller read it; when
 * somebody changed it since, it is read again. Answers whether it is written, or there was nothing to write.
 */
export async function recordUse(broker: Broker, lease: LeaseRow, seen: readonly Seen[]): Promise<boolean> {
  let row: LeaseRow | null = lease;
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
    // Nobody has received the credential of one that is being minted.
    if (row === null || row.state === 'minting') return false;
    const after = afterUse(row.use, seen);
    if (after === null) return true;
    const changed = changeLease(row, { do: 'see-use', use: after.use });
    const stands = row;
    const result = await broker.committer.commit({
      changedLeases: [changed],
      events: after.fresh.map((one) => usedEvent(stands, one)),
    });
    if (result.ok) return true;
    row = await readLease(broker.database, lease.id);
  }
  return false;
}
