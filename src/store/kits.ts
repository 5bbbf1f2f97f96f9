import { getTableColumns } from 'drizzle-orm';
import { EVENT_VERSION, type NewEvent } from '../audit/event.ts';
import { instant } from '../instant.ts';
import { newId, type Runtime } from '../runtime.ts';
import { eventRecord } from './commit.ts';
import type { Database, Statement } from './database.ts';
import { logWhere, recordOf } from './logged.ts';
import { rowReader, type StoredRow } from './mapping.ts';
import type { KitRow } from './rows.ts';
import { kit } from './schema.ts';

const toKit = rowReader<KitRow>(getTableColumns(kit));

export async function readKit(database: Database, id: string): Promise<KitRow | null> {
  const [stored] = await database.query<StoredRow>(
    { name: 'kit_by_id', text: 'select * from kit where id = $1' },
    [id],
  );
  return stored === undefined ? null : toKit(stored);
}

/** Keeps a kit, with its event. False: there is one of this id. */
export async function addKit(
  database: Database,
  runtime: Runtime,
  row: KitRow,
  event: NewEvent,
): Promise<boolean> {
  const made = await database.query(ADD_KIT, [
    row.id,
    recordOf(runtime, event),
    instant(row.sealedAt),
    JSON.stringify(row.sealedBy),
    row.logKey,
    row.threshold,
    JSON.stringify(row.holders),
    JSON.stringify(row.grants),
    instant(row.expiresAt),
  ]);
  return made.length > 0;
}

const ADD_KIT: Statement = {
  name: 'add_kit',
  text: `
    with made as (
      insert into kit (id, sealed_at, sealed_by, log_key, threshold, holders, grants, expires_at)
      values ($1, $3, $4::jsonb, $5, $6, $7::jsonb, $8::jsonb, $9) on conflict do nothing returning id),
    ${logWhere('made')}
    select id from made`,
};

/** The digests of those of these entries that are in our log already, by their indexes. */
export async function entryDigests(
  database: Database,
  kitId: string,
  log: string,
  indexes: readonly number[],
): Promise<ReadonlyMap<number, string>> {
  const rows = await database.query<{ index: number; digest: string }>(
    {
      name: 'kit_entries',
      text: 'select index, digest from kit_entry where kit_id = $1 and log = $2 and index = any($3::int[])',
    },
    [kitId, log, indexes],
  );
  return new Map(rows.map(({ index, digest }) => [index, digest]));
}

/** An entry of a kit's log that is to be in ours. */
export interface KitEntry {
  readonly index: number;
  readonly digest: string;
  readonly event: NewEvent;
  /** The codes that it used, and what is logged if one of them came back before. */
  readonly codes: readonly { readonly code: number; readonly alarm: NewEvent }[];
}

/**
 * Brings entries into our log: each once, whoever else does it at the same time, with its event and the alarms of
 * codes that were used before, in one statement (invariant 4).
 */
export async function addEntries(
  database: Database,
  runtime: Runtime,
  {
    kit: kitId,
    log,
    entries,
  }: { readonly kit: string; readonly log: string; readonly entries: readonly KitEntry[] },
): Promise<{ readonly added: number; readonly reused: readonly number[] }> {
  if (entries.length === 0) return { added: 0, reused: [] };
  const at = instant(runtime.now());
  const record = (index: number, code: number | null, event: NewEvent) => ({
    ...(eventRecord(0, { v: EVENT_VERSION, id: newId(runtime), at, ...event }) as object),
    index,
    code,
  });
  const events = entries.flatMap(({ index, event, codes }) => [
    record(index, null, event),
    ...codes.map(({ code, alarm }) => record(index, code, alarm)),
  ]);
  const rows = await database.query<{ index: number; code: number | null }>(ADD_ENTRIES, [
    kitId,
    JSON.stringify(events),
    log,
    JSON.stringify(entries.map(({ index, digest }) => ({ index, digest }))),
  ]);
  return {
    added: rows.filter(({ code }) => code === null).length,
    reused: rows.flatMap(({ code }) => (code === null ? [] : [code])),
  };
}

const ADD_ENTRIES: Statement = {
  name: 'add_kit_entries',
  text: `
    with entry as (select * from json_to_recordset($4::json) as x("index" int, "digest" text)),
    event as (select row_number() over () as position, * from json_to_recordset($2::json) as x(
      "index" int, "code" int, "id" text, "at" timestamptz, "kind" text, "taskId" text, "leaseId" text, "grant" text,
      "target" text, "issuer" text, "subject" text, "body" text)),
    added as (
      insert into kit_entry (kit_id, log, index, digest) select $1, $3, index, digest from entry
      on conflict do nothing returning index),
    used as (
      insert into kit_code (kit_id, code, log, index)
      select $1, e.code, $3, e.index from event e join added using (index) where e.code is not null
      order by e.code, e.index
      on conflict do nothing returning code, index),
    told as (
      select e.* from event e join added using (index)
      where e.code is null or not exists (select from used u where u.code = e.code and u.index = e.index)),
    logged as (
      insert into audit_event (id, at, kind, task_id, lease_id, grant_name, target, issuer, subject, body)
      select id, at, kind, "taskId", "leaseId", "grant", target, issuer, subject, body from told order by position
      returning seq, at),
    await_index as (
      insert into audit_pending (at, seqs) select at, array_agg(seq order by seq) from logged group by at)
    select index, code from told`,
};
