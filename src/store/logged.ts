import { EVENT_VERSION, type NewEvent } from '../audit/event.ts';
import { newId, type Runtime } from '../runtime.ts';
import { eventRecord } from './commit.ts';

/** For statements that change a few rows and log it at once, beside the group commit (invariant 4). */

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

/** An event as `logWhere` takes it. */
export function recordOf(runtime: Runtime, event: NewEvent): string {
  const at = new Date(runtime.now()).toISOString();
  return JSON.stringify([eventRecord(0, { v: EVENT_VERSION, id: newId(runtime), at, ...event })]);
}
