import type { Sightings } from '../provider.ts';
import type { Connections } from './connections.ts';
import { MAX_OBSERVED } from './limits.ts';

/** The open sessions of all roles whose name begins with the mark; those that look the same are one. */
export async function observe(
  connections: Connections,
  database: string,
  mark: string,
  signal: AbortSignal,
): Promise<Sightings> {
  const rows: (Sightings['sessions'][number] & { readonly since: string | null })[] = await connections.run(
    database,
    'look at the open sessions',
    signal,
    async (client) => (await client.query(OPEN_SESSIONS, [mark])).rows,
  );
  return {
    complete: rows.length <= MAX_OBSERVED,
    sessions: rows.slice(0, MAX_OBSERVED).map(({ since, ...row }) => ({
      ...row,
      since: since === null ? null : Number(since),
    })),
  };
}

// The function behind the view, as in look.ts. Which login a session is of is shown to everybody, and so is the name of
// its application; its address and its start only to members of pg_read_all_stats.
const OPEN_SESSIONS = `
  SELECT r.rolname::text AS name, host(a.client_addr) AS address, a.application_name AS application,
    (extract(epoch FROM min(a.backend_start)) * 1000)::bigint::text AS since
  FROM pg_stat_get_activity(NULL) a JOIN pg_roles r ON r.oid = a.usesysid
  WHERE starts_with(r.rolname::text, $1)
  GROUP BY 1, 2, 3 LIMIT ${MAX_OBSERVED + 1}`;
