import { getTableColumns } from 'drizzle-orm';
import type { NewEvent } from '../audit/event.ts';
import type { SingleUse } from '../identity/attestor.ts';
import { instant } from '../instant.ts';
import type { Runtime } from '../runtime.ts';
import type { Database, Statement } from './database.ts';
import { logWhere, recordOf } from './logged.ts';
import { rowReader, type StoredRow } from './mapping.ts';
import type { SessionRow } from './rows.ts';
import { session } from './schema.ts';

/** Sessions of one identity at once. */
const MAX_SESSIONS = 50;

const toSession = rowReader<SessionRow>(getTableColumns(session));

/** What became of a new session. */
export type NewSession = 'made' | 'replayed' | 'killed' | 'too-many';

/**
 * A kill of a whole identity, whatever the grant, the target or the task, that keeps out a session which began at
 * `began`: it still stands, or it was ordered since. Asked when a session is made and whenever it is used.
 */
function killOf(issuer: string, subject: string, began: string): string {
  return `select from kill k where k.issuer = ${issuer} and (k.subject is null or k.subject = ${subject})
    and k.grant_name is null and k.target is null and k.task_id is null
    and (k.lifted_at is null or k.ordered_at >= ${began})`;
}

/** Uses up what a session was proven by, and keeps it, with its event, unless something stands against it. */
export async function addSession(
  database: Database,
  runtime: Runtime,
  row: SessionRow,
  evidence: readonly SingleUse[],
  event: NewEvent,
): Promise<NewSession> {
  const [outcome] = await database.query<{ outcome: NewSession }>(ADD, [
    row.id,
    recordOf(runtime, event),
    row.tokenHash,
    row.issuer,
    row.subject,
    JSON.stringify(row.principal),
    ...[row.beganAt, row.expiresAt, row.endsAt].map((at) => instant(at)),
    JSON.stringify(evidence.map(({ id, until }) => ({ id, until: instant(until) }))),
    evidence.length,
    MAX_SESSIONS,
  ]);
  return outcome?.outcome ?? 'replayed';
}

const ADD: Statement = {
  name: 'add_session',
  text: `
    with used as (
      insert into used_evidence (id, used_for, keep_until)
      select u.id, $1, u."until" from json_to_recordset($10::json) as u(id text, "until" timestamptz)
      on conflict do nothing returning id),
    judged as (
      select case
        when (select count(*) from used) < $11::int then 'replayed'
        when exists (${killOf('$4', '$5', '$7::timestamptz')}) then 'killed'
        when (select count(*) from session where issuer = $4 and subject = $5 and ends_at > $7::timestamptz) >= $12::int
          then 'too-many'
        else 'made' end as outcome),
    made as (
      insert into session (id, token_hash, issuer, subject, principal, began_at, expires_at, ends_at)
      select $1, $3, $4, $5, $6::jsonb, $7::timestamptz, $8::timestamptz, $9::timestamptz
      from judged where outcome = 'made' returning id),
    ${logWhere('made')}
    select outcome from judged`,
};

/** The session of a token, and whether a kill has ended it: one that was ordered since it began, or that still stands. */
export async function sessionOfToken(
  database: Database,
  tokenHash: string,
): Promise<{ readonly session: SessionRow; readonly killed: boolean } | null> {
  const [stored] = await database.query<StoredRow & { readonly killed: boolean }>(SESSION_OF_TOKEN, [
    tokenHash,
  ]);
  return stored === undefined ? null : { session: toSession(stored), killed: stored.killed };
}

const SESSION_OF_TOKEN: Statement = {
  name: 'session_of_token',
  text: `
    select s.*, exists (${killOf('s.issuer', 's.subject', 's.began_at')}) as killed
    from session s where s.token_hash = $1`,
};

/** It was used: it goes on until then. */
export async function prolongSession(database: Database, id: string, endsAt: number): Promise<void> {
  await database.query(PROLONG, [id, instant(endsAt)]);
}

const PROLONG: Statement = {
  name: 'prolong_session',
  text: 'update session set ends_at = least(expires_at, greatest(ends_at, $2::timestamptz)) where id = $1',
};

/** Ends a session, with its event. False: it is not there any more. */
export async function endSession(
  database: Database,
  runtime: Runtime,
  id: string,
  event: NewEvent,
): Promise<boolean> {
  return (await database.query(END, [id, recordOf(runtime, event)])).length > 0;
}

const END: Statement = {
  name: 'end_session',
  text: `
    with ended as (delete from session where id = $1 returning id),
    ${logWhere('ended')}
    select id from ended`,
};

/** Sessions whose time is up. */
export async function lapsedSessions(database: Database, now: number, limit: number): Promise<SessionRow[]> {
  const rows = await database.query<StoredRow>(LAPSED, [instant(now), limit]);
  return rows.map(toSession);
}

const LAPSED: Statement = {
  name: 'lapsed_sessions',
  text: 'select * from session where ends_at <= $1 order by ends_at limit $2',
};
