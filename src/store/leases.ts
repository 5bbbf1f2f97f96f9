import { and, asc, eq, getTableColumns, gt, lt, ne, or, type SQL, sql } from 'drizzle-orm';
import { instant } from '../instant.ts';
import { type Database, withUnavailable } from './database.ts';
import { createLookup } from './lookup.ts';
import { rowReader, type StoredRow } from './mapping.ts';
import type { LeaseRow, LeaseUse } from './rows.ts';
import { lease } from './schema.ts';

/** Which leases to list. What is left out does not narrow. */
export interface LeaseFilter {
  readonly state?: LeaseRow['state'] | undefined;
  readonly live?: boolean | undefined;
  /** Only those that should have ended by this instant and have not: see `overdueAt` in broker/lease.ts. Milliseconds since the epoch. */
  readonly overdueSince?: number | undefined;
  readonly outcome?: LeaseRow['outcome'] | undefined;
  readonly use?: LeaseUse['verdict'] | undefined;
  readonly task?: string | undefined;
  readonly grant?: string | undefined;
  readonly target?: string | undefined;
  readonly issuer?: string | undefined;
  readonly subject?: string | undefined;
}

const columns = getTableColumns(lease);

const toLease = rowReader<LeaseRow>(columns);

export async function readLease(database: Database, id: string): Promise<LeaseRow | null> {
  const stored = await leaseById(database, id);
  return stored === null ? null : toLease(stored);
}

const leaseById = createLookup<StoredRow & { readonly key: string }>({
  name: 'lease_by_id',
  text: 'select *, id as key from lease where id = any($1::text[])',
});

/** Leases by filters, oldest first, from after the lease `after`. */
export async function listLeases(
  database: Database,
  filter: LeaseFilter,
  after: string | null,
  limit: number,
): Promise<LeaseRow[]> {
  const wanted: (SQL | undefined)[] = [
    after === null ? undefined : gt(lease.id, after),
    filter.state && eq(lease.state, filter.state),
    filter.live === undefined ? undefined : (filter.live ? ne : eq)(lease.state, 'ended'),
    filter.overdueSince === undefined ? undefined : isOverdue(filter.overdueSince),
    filter.outcome ? eq(lease.outcome, filter.outcome) : undefined,
    filter.use === undefined ? undefined : sql`${lease.use} ->> 'verdict' = ${filter.use}`,
    filter.task === undefined ? undefined : eq(lease.taskId, filter.task),
    filter.grant === undefined ? undefined : eq(lease.grant, filter.grant),
    filter.target === undefined ? undefined : eq(lease.target, filter.target),
    filter.issuer === undefined ? undefined : eq(lease.issuer, filter.issuer),
    filter.subject === undefined ? undefined : eq(lease.subject, filter.subject),
  ];
  return withUnavailable(() =>
    database.orm
      .select(columns)
      .from(lease)
      .where(and(...wanted))
      .orderBy(asc(lease.id))
      .limit(limit),
  );
}

/** In SQL what `overdueAt` in broker/lease.ts says of a row. */
function isOverdue(since: number): SQL | undefined {
  const at = instant(since);
  return and(
    ne(lease.state, 'ended'),
    or(
      lt(lease.dueAt, sql`${at}::timestamptz`),
      lt(lease.expiresAt, sql`${at}::timestamptz`),
      and(eq(lease.state, 'ending'), gt(lease.attempts, 1), lt(lease.endingSince, sql`${at}::timestamptz`)),
    ),
  );
}

/** How many more leases of a target the caller can work on. */
export interface Room {
  readonly target: string;
  readonly room: number;
}

/**
 * Claims leases that are due, at most `room` for each target, those first that are due longest: moves their
 * `due_at` to `claimUntil`, so that nobody else takes them before. An attempt to end counts from its claim.
 * Any number of replicas can call it at once.
 */
export async function claimDue(
  database: Database,
  rooms: readonly Room[],
  now: number,
  claimUntil: number,
): Promise<LeaseRow[]> {
  if (rooms.length === 0) return [];
  const claimed = await database.query<StoredRow>(CLAIM_DUE, [
    instant(now),
    rooms.map((r) => r.target),
    rooms.map((r) => r.room),
    instant(claimUntil),
  ]);
  return claimed.map(toLease);
}

const CLAIM_DUE = {
  name: 'claim_due',
  text: `
    with due as materialized (
      select l.id from unnest($2::text[], $3::int[]) as r (target, room)
      cross join lateral (
        select id from lease
        where target = r.target and state <> 'ended' and due_at <= $1
        order by due_at limit r.room for update skip locked) l)
    update lease set due_at = $4, version = version + 1,
      attempts = case when state = 'ending' then attempts + 1 else attempts end
    from due where lease.id = due.id and lease.id = any(array(select id from due))
    returning lease.*`,
};

/** When the next lease of these targets is due, in milliseconds since the epoch; null when none lives. */
export async function nextDue(database: Database, targets: readonly string[]): Promise<number | null> {
  const rows = await database.query<{ next: string | null }>(NEXT_DUE, [targets]);
  const next = rows[0]?.next ?? null;
  return next === null ? null : Number(next);
}

const NEXT_DUE = {
  name: 'next_due',
  text: `
    select (extract(epoch from min(l.due_at)) * 1000)::bigint::text as next
    from unnest($1::text[]) as r (target)
    cross join lateral (
      select due_at from lease where target = r.target and state <> 'ended' order by due_at limit 1) l`,
};

/** All targets that have leases which have not ended. Reads one index entry for each, however many leases live. */
export async function targetsWithLiveLeases(database: Database): Promise<string[]> {
  const rows = await database.query<{ target: string }>(
    {
      name: 'targets_with_live_leases',
      text: `
        with recursive t as (
          (select target from lease where state <> 'ended' order by target limit 1)
          union all
          select (select target from lease where state <> 'ended' and target > t.target order by target limit 1)
          from t where t.target is not null)
        select target from t where target is not null`,
    },
    [],
  );
  return rows.map((row) => row.target);
}

/** What is late at each target, for the alarm. */
export interface Lateness {
  readonly target: string;
  /** Leases whose ending failed at least once. */
  readonly failing: number;
  /** Leases that are due and that nobody has claimed, and for how long the oldest waits, in milliseconds. */
  readonly due: number;
  readonly lagMs: number;
}

export async function lateness(
  database: Database,
  targets: readonly string[],
  now: number,
): Promise<Lateness[]> {
  const rows = await database.query<{ target: string; failing: number; due: number; lag: number | null }>(
    LATENESS,
    [instant(now), targets],
  );
  return rows.map(({ target, failing, due, lag }) => ({
    target,
    failing,
    due,
    lagMs: Math.round((lag ?? 0) * 1000),
  }));
}

const LATENESS = {
  name: 'lateness',
  text: `
    select r.target,
      (select count(*)::int from lease l where l.target = r.target and l.state = 'ending' and l.attempts > 1) as failing,
      d.due, extract(epoch from $1::timestamptz - d.oldest)::float8 as lag
    from unnest($2::text[]) as r (target)
    cross join lateral (
      select count(*)::int as due, min(due_at) as oldest from (
        select due_at from lease where target = r.target and state <> 'ended' and due_at <= $1
        order by due_at limit 10000) x) d`,
};

/** Leases of an account's tokens at these targets that lived at an instant, in milliseconds since the epoch; at most `limit`. */
export async function leasesOfAccount(
  database: Database,
  targets: readonly string[],
  account: string,
  at: number,
  limit: number,
): Promise<LeaseRow[]> {
  const rows = await database.query<StoredRow>(
    {
      name: 'leases_of_account',
      text: `
        select * from lease
        where provider = 'google' and target = any($1::text[]) and expires_at > $2 and issued_at <= $2
          and scope ->> 'service_account' = $3
        order by id limit $4`,
    },
    [targets, instant(at), account, limit],
  );
  return rows.map(toLease);
}

/** Those of `names` (credentials at a target) that have a lease, with its state. */
export async function leasesByIds(database: Database, ids: readonly string[]): Promise<LeaseRow[]> {
  if (ids.length === 0) return [];
  const rows = await database.query<StoredRow>(
    { name: 'leases_by_ids', text: 'select * from lease where id = any($1::text[])' },
    [ids],
  );
  return rows.map(toLease);
}
