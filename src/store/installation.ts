import { instant } from '../instant.ts';
import type { Runtime } from '../runtime.ts';
import { newId } from '../runtime.ts';
import type { Database } from './database.ts';

/**
 * The four characters that mark this installation's credentials at every target, made at the first start. Two
 * installations that share a target thus leave each other's credentials alone.
 */
export async function installationMark(database: Database, runtime: Runtime): Promise<string> {
  const rows = await database.query<{ mark: string }>(
    {
      name: 'installation_mark',
      text: `
        with made as (
          insert into installation (mark, created_at) values ($1, $2) on conflict do nothing returning mark)
        select mark from made union all select mark from installation limit 1`,
    },
    [newId(runtime).slice(-4), instant(runtime.now())],
  );
  const mark = rows[0]?.mark;
  // A replica that lost the race does not see the winner's row within its own statement.
  return mark ?? installationMark(database, runtime);
}

/** The key of the nonces that this installation gives out, 32 bytes, made at the first start. After `installationMark`. */
export async function installationNonceKey(database: Database, runtime: Runtime): Promise<Uint8Array> {
  await database.query(
    {
      name: 'make_nonce_key',
      text: 'update installation set nonce_key = $1 where nonce_key is null',
    },
    [Buffer.from(runtime.randomBytes(32)).toString('base64url')],
  );
  const rows = await database.query<{ key: string }>(
    { name: 'nonce_key', text: 'select nonce_key as key from installation' },
    [],
  );
  return Buffer.from(rows[0]?.key ?? '', 'base64url');
}

/** The database's clock, in milliseconds since the epoch. */
export async function databaseClock(database: Database): Promise<number> {
  const rows = await database.query<{ now: string }>(
    {
      name: 'database_clock',
      text: 'select (extract(epoch from clock_timestamp()) * 1000)::bigint::text as now',
    },
    [],
  );
  return Number(rows[0]?.now);
}

/** Whether the database takes no writes: a standby, or a primary that somebody demoted. */
export async function isReadOnly(database: Database): Promise<boolean> {
  const rows = await database.query<{ readonly: boolean }>(
    {
      name: 'database_read_only',
      text: "select current_setting('transaction_read_only')::boolean as readonly",
    },
    [],
  );
  return rows[0]?.readonly ?? true;
}

/** Forgets evidence that has lapsed, a bounded number at a time. */
export async function forgetEvidence(database: Database, now: number, limit: number): Promise<number> {
  const gone = await database.query(
    {
      name: 'forget_evidence',
      text: `
        delete from used_evidence
        where id = any(array(select id from used_evidence where keep_until < $1 order by keep_until limit $2))
        returning 1 as one`,
    },
    [instant(now), limit],
  );
  return gone.length;
}
