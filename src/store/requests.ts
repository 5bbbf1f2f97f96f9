import { getTableColumns } from 'drizzle-orm';
import { instant } from '../instant.ts';
import type { Database } from './database.ts';
import { rowReader, type StoredRow } from './mapping.ts';
import type { Identity, RequestRow } from './rows.ts';
import { approvalRequest } from './schema.ts';

const toRequest = rowReader<RequestRow>(getTableColumns(approvalRequest));

export async function readRequest(database: Database, id: string): Promise<RequestRow | null> {
  const [stored] = await database.query<StoredRow>(
    { name: 'request_by_id', text: 'select * from approval_request where id = $1' },
    [id],
  );
  return stored === undefined ? null : toRequest(stored);
}

/** The request for exactly this that waits or was approved. */
export async function openRequestFor(database: Database, digest: string): Promise<RequestRow | null> {
  const [stored] = await database.query<StoredRow>(
    {
      name: 'open_request_by_digest',
      text: "select * from approval_request where digest = $1 and state in ('pending', 'approved')",
    },
    [digest],
  );
  return stored === undefined ? null : toRequest(stored);
}

/** Requests that wait or were approved, those that lapse first in front. */
export async function openRequests(database: Database, limit: number): Promise<RequestRow[]> {
  const rows = await database.query<StoredRow>(
    {
      name: 'open_requests',
      text: `select * from approval_request where state in ('pending', 'approved') order by expires_at limit $1`,
    },
    [limit],
  );
  return rows.map(toRequest);
}

/** How many of them one identity has whose time is not up, counted as far as `limit`. */
export async function countOpenRequests(
  database: Database,
  { issuer, subject }: Identity,
  now: number,
  limit: number,
): Promise<number> {
  const [counted] = await database.query<{ open: number }>(
    {
      name: 'count_open_requests',
      text: `select count(*)::int as open from (
        select from approval_request where state in ('pending', 'approved') and expires_at > $3
          and issuer = $1 and subject = $2 limit $4) o`,
    },
    [issuer, subject, instant(now), limit],
  );
  return counted?.open ?? 0;
}

/** Those of them whose time is up. */
export async function lapsedRequests(database: Database, now: number, limit: number): Promise<RequestRow[]> {
  const rows = await database.query<StoredRow>(
    {
      name: 'lapsed_requests',
      text: `select * from approval_request where state in ('pending', 'approved') and expires_at <= $1
             order by expires_at limit $2`,
    },
    [instant(now), limit],
  );
  return rows.map(toRequest);
}
