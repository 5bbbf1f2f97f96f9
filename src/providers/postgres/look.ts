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
 * proven their password do not.
 */
export const prepareLooks = `
  PREPARE hallpass_look (text, oid) AS
  WITH it AS MATERIALIZED (
    SELECT role, coalesce(role, CASE WHEN $2::regrole::text = $2::text THEN $2 END) AS session_role
    FROM (SELECT to_regrole(quote_ident($1))::oid AS role) named)
  SELECT it.role::text AS oid,
    ARRAY(SELECT json_build_object('pid', pid, 'address', host(client_addr), 'application', application_name,
        'since', (extract(epoch FROM backend_start) * 1000)::bigint)
      FROM pg_stat_get_activity(NULL) WHERE usesysid = it.session_role) AS sessions,
    ARRAY(SELECT l.pid FROM pg_lock_status() l
      WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND l.mode = 'RowExclusiveLock'
        AND NOT EXISTS (SELECT FROM pg_stat_get_activity(l.pid) a WHERE a.usesysid IS NOT NULL)) AS starting,
    ARRAY(SELECT DISTINCT b.datname::text FROM pg_shdepend d LEFT JOIN pg_database b ON b.oid = d.dbid
      WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = it.role) AS databases,
    ARRAY(SELECT json_build_object('gid', p.gid, 'database', b.datname)
      FROM pg_prepared_xact() p JOIN pg_database b ON b.oid = p.dbid
      WHERE p.ownerid = it.session_role) AS prepared
  FROM it;
  PREPARE hallpass_left (text, oid) AS
  SELECT to_regrole(quote_ident($1)) IS NOT NULL OR EXISTS (
    SELECT FROM pg_stat_get_activity(NULL) WHERE usesysid = $2 AND $2::regrole::text = $2::text) AS is_left`;

/**
 * A statement that gives one `Sight`. With `knownOid` it also sees the sessions of a role that somebody else has
 * dropped, unless the oid serves another role by now.
 */
export function lookStatement(name: string, knownOid: string | null): string {
  return execute('hallpass_look', name, knownOid);
}

/** A cheaper statement that tells whether there is still such a role, or a session of the one with `knownOid`. */
export function leftStatement(name: string, knownOid: string | null): string {
  return execute('hallpass_left', name, knownOid);
}

function execute(statement: string, name: string, knownOid: string | null): string {
  return `EXECUTE ${statement} (${literal(name)}, ${knownOid === null ? 'NULL' : literal(knownOid)})`;
}

/** What a query answers that ends with a `leftStatement`. */
export function isLeft(results: Results): boolean {
  return lastRow<{ is_left: boolean }>(results).is_left;
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

/** The sight in the last result of a query that ends with a `lookStatement`. */
export function sightIn(results: Results): Sight {
  const row = lastRow<StoredSight>(results);
  return {
    ...row,
    sessions: row.sessions.map(({ pid }) => pid),
    seen: row.sessions,
  };
}

type Results = pg.QueryResult | pg.QueryResult[];

function lastRow<Row>(results: Results): Row {
  const last = Array.isArray(results) ? results.at(-1) : results;
  const row: Row | undefined = last?.rows[0];
  if (!row) throw new ProviderError('target-failed', 'Cannot see what the target holds: it gave no answer');
  return row;
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
