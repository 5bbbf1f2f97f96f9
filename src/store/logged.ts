import { EVENT_VERSION, type NewEvent } from '../audit/event.ts';
import { instant } from '../instant.ts';
import { newId, type Runtime } from '../runtime.ts';
import { eventRecord } from './commit.ts';

/** For statements of their own that log an event in the commit of what it is about, as the group commit does for all others. */

const EVENT_COLUMNS = `"id" text, "at" timestamptz, "kind" text, "taskId" text, "leaseId" text, "grant" text,
  "target" text, "issuer" text, "subject" text, "body" text`;

/** Writes the event of $2 where `done` has a row, and has it wait for its index. */
export function logWhere(done: string): string {
  return `
    logged as (
      insert into audit_event (id, at, kind, task_id, lease_id, grant_name, target, issuer, subject, body)
      select e.id, e.at, e.kind, e."taskId", e."leaseId", e."grant", e.target, e.issuer, e.subject, e.body
      from json_to_recordset($2::json) as e(${EVENT_COLUMNS}) where exists (select from ${done})
      returning seq, at),
    await_index as (
      insert into audit_pending (at, seqs) select at, array_agg(seq order by seq) from logged group by at)`;
}

/** The event as such a statement takes it, as $2. */
export function recordOf(runtime: Runtime, event: NewEvent): string {
  const at = instant(runtime.now());
  return JSON.stringify([eventRecord(0, { v: EVENT_VERSION, id: newId(runtime), at, ...event })]);
}
