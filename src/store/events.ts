import { and, asc, desc, eq, gt, gte, lt, type SQL, sql } from 'drizzle-orm';
import type { AuditEvent } from '../audit/event.ts';
import { instant } from '../instant.ts';
import { type Database, withUnavailable } from './database.ts';
import { auditEvent } from './schema.ts';

export interface EventFilter {
  readonly task?: string | undefined;
  readonly lease?: string | undefined;
  readonly grant?: string | undefined;
  readonly target?: string | undefined;
  readonly issuer?: string | undefined;
  readonly subject?: string | undefined;
  readonly kind?: string | undefined;
  readonly outcome?: string | undefined;
  /** Milliseconds since the epoch; `since` is within, `until` is not. */
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  readonly order?: 'oldest' | 'newest' | undefined;
}

export interface StoredEvent {
  readonly seq: number;
  readonly event: AuditEvent;
}

/** Events by filters in the order of their numbers, from past the number `after`. */
export async function listEvents(
  database: Database,
  filter: EventFilter,
  after: number | null,
  limit: number,
): Promise<StoredEvent[]> {
  const newest = filter.order === 'newest';
  const wanted: (SQL | undefined)[] = [
    after === null ? undefined : (newest ? lt : gt)(auditEvent.seq, after),
    filter.task === undefined ? undefined : eq(auditEvent.taskId, filter.task),
    filter.lease === undefined ? undefined : eq(auditEvent.leaseId, filter.lease),
    filter.grant === undefined ? undefined : eq(auditEvent.grant, filter.grant),
    filter.target === undefined ? undefined : eq(auditEvent.target, filter.target),
    filter.issuer === undefined ? undefined : eq(auditEvent.issuer, filter.issuer),
    filter.subject === undefined ? undefined : eq(auditEvent.subject, filter.subject),
    filter.kind === undefined ? undefined : eq(auditEvent.kind, filter.kind),
    filter.outcome === undefined ? undefined : eq(auditEvent.outcome, filter.outcome),
    filter.since === undefined ? undefined : gte(auditEvent.at, sql`${instant(filter.since)}::timestamptz`),
    filter.until === undefined ? undefined : lt(auditEvent.at, sql`${instant(filter.until)}::timestamptz`),
  ];
  const rows = await withUnavailable(() =>
    database.orm
      .select({ seq: auditEvent.seq, body: auditEvent.body })
      .from(auditEvent)
      .where(and(...wanted))
      .orderBy((newest ? desc : asc)(auditEvent.seq))
      .limit(limit),
  );
  return rows.map((row) => ({ seq: row.seq, event: JSON.parse(row.body) as AuditEvent }));
}
