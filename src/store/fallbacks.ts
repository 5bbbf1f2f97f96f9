import { getTableColumns } from 'drizzle-orm';
import type { NewEvent } from '../audit/event.ts';
import { instant, instantOrNull } from '../instant.ts';
import type { Runtime } from '../runtime.ts';
import type { Database, Statement } from './database.ts';
import { logWhere, recordOf } from './logged.ts';
import { rowReader, type StoredRow } from './mapping.ts';
import type { FallbackRow } from './rows.ts';
import { fallback } from './schema.ts';

const toFallback = rowReader<FallbackRow>(getTableColumns(fallback));

/** What is known of an issuer that stands in for another; null before anybody has looked. */
export async function readFallback(database: Database, issuer: string): Promise<FallbackRow | null> {
  const [stored] = await database.query<StoredRow>(
    { name: 'fallback_by_issuer', text: 'select * from fallback where issuer = $1' },
    [issuer],
  );
  return stored === undefined ? null : toFallback(stored);
}

/**
 * Writes what a look found, with the event that it causes, if it does (invariant 4). `row.version` is the version that
 * the look started from, 0 for none. False: another replica wrote meanwhile.
 */
export async function writeFallback(
  database: Database,
  runtime: Runtime,
  row: FallbackRow,
  event: NewEvent | null,
): Promise<boolean> {
  const written = await database.query(WRITE, [
    row.issuer,
    event === null ? '[]' : recordOf(runtime, event),
    row.version,
    row.standsFor,
    row.state,
    instantOrNull(row.reachedAt),
    instantOrNull(row.failingSince),
    instant(row.lookedAt),
  ]);
  return written.length > 0;
}

const WRITE: Statement = {
  name: 'write_fallback',
  text: `
    with written as (
      insert into fallback as f (issuer, version, stands_for, state, reached_at, failing_since, looked_at)
      select $1, 1, $4, $5, $6::timestamptz, $7::timestamptz, $8::timestamptz
      where $3::int = 0 or exists (select from fallback where issuer = $1 and version = $3::int)
      on conflict (issuer) do update set version = f.version + 1, stands_for = $4, state = $5,
        reached_at = $6::timestamptz, failing_since = $7::timestamptz, looked_at = $8::timestamptz
      where f.version = $3::int
      returning issuer),
    ${logWhere('written')}
    select issuer from written`,
};
