import type pg from 'pg';
import { ProviderError } from '../../errors.ts';
import type { Sighting } from '../provider.ts';
import { literal } from './sql.ts';

/** What the target holds of one login, read in one statement. */
export interface Sight {
  /** The role's oid; null when there is no such role. */
  readonly oid: string | null;
  /** Processes of its sessions, whatever role they have set since. */
  readonly sessions: readonly number[];
  /** The same as the log tells of them. The server hides addresses from roles without `pg_read_all_stats`. */
  readonly seen: readonly SeenSession[];
  /** Processes of sessions of any role that are past the check of their login, and not yet visible as sessions. */
  readonly starting: readonly number[];
  /** Databases where it owns objects or holds privileges; null stands for objects that all databases share. */
  readonly databases: readonly (string | null)[];
  /** Prepared transactions that it left. */
  readonly prepared: readonly { readonly gid: string; readonly database: string }[];
}

/** A session as the log tells of it. */
export interface SeenSession extends Sighting {
  readonly pid: number;
}

/**
 * Prepares, once a connection, the statements behind `lookStatement` and `leftStatement`: planning them takes longer
 * than running them. They read the functions behind the views for the same reason.
 *
 * `pg_shdepend` lists exactly what would stand in the way of `DROP ROLE`, for all databases of the server, so that
 * they need not be searched. A session that starts passes the check of `NOLOGIN` before it is visible, and its client
 * can make that moment long (`post_auth_delay`); it then holds a lock on its database, which clients that have not
 * proven their password do not. Those locks are read before the sessions, so that who becomes visible in between is seen.
 */
export const prepareLooks = `
  PREPARE hallpass_look (text[], oid[]) AS
  WITH it AS MATERIALIZED (
    SELECT place, role, coalesce(role, CASE WHEN known::regrole::text = known::text THEN known END) AS session_role
    FROM (SELECT place, known, to_regrole(quote_ident(name))::oid AS role
      FROM unnest($1, $2) WITH ORDINALITY AS asked (name, known, place)) named),
  activity AS MATERIALIZED (SELECT pid, usesysid, client_addr, application_name, backend_start
    FROM pg_stat_get_activity(NULL))
  SELECT it.role::text AS oid,
    ARRAY(SELECT l.pid FROM pg_lock_status() l
      WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND l.mode = 'RowExclusiveLock'
        AND NOT EXISTS (SELECT FROM pg_stat_get_activity(l.pid) a WHERE a.usesysid IS NOT NULL)) AS starting,
    ARRAY(SELECT json_build_object('pid', pid, 'address', host(client_addr), 'application', application_name,
        'since', (extract(epoch FROM backend_start) * 1000)::bigint)
      FROM activity WHERE usesysid = it.session_role) AS sessions,
    ARRAY(SELECT DISTINCT b.datname::text FROM pg_shdepend d LEFT JOIN pg_database b ON b.oid = d.dbid
      WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = it.role) AS databases,
    ARRAY(SELECT json_build_object('gid', p.gid, 'database', b.datname)
      FROM pg_prepared_xact() p JOIN pg_database b ON b.oid = p.dbid
      WHERE p.ownerid = it.session_role) AS prepared
  FROM it ORDER BY place;
  PREPARE hallpass_left (text[], oid[]) AS
  SELECT to_regrole(quote_ident(name)) IS NOT NULL OR EXISTS (
    SELECT FROM pg_stat_get_activity(NULL) WHERE usesysid = known AND known::regrole::text = known::text) AS is_left
  FROM unnest($1, $2) WITH ORDINALITY AS asked (name, known, place) ORDER BY place`;

/** A login to look for. With its oid the sessions are seen of a role that somebody else has dropped, unless that oid serves another role by now. */
export interface Wanted {
  readonly name: string;
  readonly oid: string | null;
}

/** A statement that gives one `Sight` for each login, in their order. */
export function lookStatement(logins: readonly Wanted[]): string {
  return execute('hallpass_look', logins);
}

/** A cheaper statement that tells whether there is still such a role, or a session of it. */
export function leftStatement(logins: readonly Wanted[]): string {
  return execute('hallpass_left', logins);
}

function execute(statement: string, logins: readonly Wanted[]): string {
  const names = logins.map(({ name }) => literal(name));
  const oids = logins.map(({ oid }) => (oid === null ? 'NULL' : literal(oid)));
  return `EXECUTE ${statement} (ARRAY[${names.join(', ')}], ARRAY[${oids.join(', ')}]::oid[])`;
}

/** What a query says that ends with a `leftStatement`: the logins of which there is something left. */
export function leftOf<Login extends Wanted>(results: Results, logins: readonly Login[]): readonly Login[] {
  const rows = lastRows<{ is_left: boolean }>(results, logins.length);
  return logins.filter((_, place) => rows[place]?.is_left !== false);
}

/** Neither a role nor a session. */
export const NOTHING: Sight = {
  oid: null,
  sessions: [],
  seen: [],
  starting: [],
  databases: [],
  prepared: [],
};

/** What a query says that ends with a `lookStatement` for one login. */
export function sightOf(results: Results): Sight {
  const [row] = lastRows<StoredSight>(results, 1);
  if (row === undefined) throw noAnswer();
  return toSight(row);
}

/** What a query says that ends with a `lookStatement`, in the order of the logins. */
export function sightsOf(results: Results, logins: readonly Wanted[]): readonly Sight[] {
  return lastRows<StoredSight>(results, logins.length).map(toSight);
}

function toSight(row: StoredSight): Sight {
  return { ...row, sessions: row.sessions.map(({ pid }) => pid), seen: row.sessions };
}

type Results = pg.QueryResult | pg.QueryResult[];

function lastRows<Row>(results: Results, count: number): readonly Row[] {
  const last = Array.isArray(results) ? results.at(-1) : results;
  if (last?.rows.length !== count) throw noAnswer();
  return last.rows;
}

function noAnswer(): ProviderError {
  return new ProviderError('target-failed', 'Cannot see what the target holds: it gave no answer');
}

type StoredSight = Omit<Sight, 'sessions' | 'seen'> & {
  readonly sessions: readonly SeenSession[];
};

/** Open transactions of our own login that have made or changed a role. */
export const inFlightStatement = `
  SELECT l.virtualtransaction AS transaction
  FROM pg_locks l JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid
  WHERE l.locktype = 'relation' AND l.relation = 'pg_authid'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
    AND l.pid <> pg_backend_pid() AND a.usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user)`;
