import { and, asc, eq, getTableColumns, gt, inArray, isNull, type SQL, sql } from 'drizzle-orm';
import { instant } from '../instant.ts';
import { type Database, withUnavailable } from './database.ts';
import { createLookup } from './lookup.ts';
import { rowReader, type StoredRow } from './mapping.ts';
import type { LeaseRow, TaskRow } from './rows.ts';
import { lease, task } from './schema.ts';

export interface TaskFilter {
  readonly state?: TaskRow['state'] | undefined;
  readonly grant?: string | undefined;
  readonly issuer?: string | undefined;
  readonly subject?: string | undefined;
}

const columns = getTableColumns(task);

const toTask = rowReader<TaskRow>(columns);

const toLease = rowReader<LeaseRow>(getTableColumns(lease));

/** A task, with its leases in the order of their ids: both as of one instant. */
export interface TaskAndLeases {
  readonly task: TaskRow;
  readonly leases: readonly LeaseRow[];
}

export async function readTaskAndLeases(database: Database, id: string): Promise<TaskAndLeases | null> {
  const found = await taskById(database, id);
  return found === null ? null : { task: toTask(found.task), leases: found.leases.map(toLease) };
}

export async function readTask(database: Database, id: string): Promise<TaskRow | null> {
  const found = await taskById(database, id);
  return found === null ? null : toTask(found.task);
}

export async function leasesOfTask(database: Database, id: string): Promise<readonly LeaseRow[]> {
  const found = await taskById(database, id);
  return found === null ? [] : found.leases.map(toLease);
}

const taskById = createLookup<{ key: string; task: StoredRow; leases: StoredRow[] }>({
  name: 'task_by_id',
  text: `
    select t.id as key, to_jsonb(t) as task,
      (select coalesce(jsonb_agg(to_jsonb(l) order by l.id), '[]') from lease l where l.task_id = t.id) as leases
    from task t where t.id = any($1::text[])`,
});

export async function taskByIdempotencyKey(database: Database, key: string): Promise<TaskRow | null> {
  const [stored] = await database.query<StoredRow>(TASK_BY_IDEMPOTENCY_KEY, [key]);
  return stored === undefined ? null : toTask(stored);
}

const TASK_BY_IDEMPOTENCY_KEY = {
  name: 'task_by_idempotency_key',
  text: 'select * from task where idempotency_key = $1',
};

/** Tasks by filters, oldest first, from after the task `after`. */
export async function listTasks(
  database: Database,
  filter: TaskFilter,
  after: string | null,
  limit: number,
): Promise<TaskRow[]> {
  const wanted: (SQL | undefined)[] = [
    after === null ? undefined : gt(task.id, after),
    filter.state && eq(task.state, filter.state),
    filter.grant === undefined ? undefined : eq(task.grant, filter.grant),
    filter.issuer === undefined ? undefined : eq(task.issuer, filter.issuer),
    filter.subject === undefined ? undefined : eq(task.subject, filter.subject),
  ];
  return withUnavailable(() =>
    database.orm
      .select(columns)
      .from(task)
      .where(and(...wanted))
      .orderBy(asc(task.id))
      .limit(limit),
  );
}

/** Open tasks of grants that nobody has begun to end. */
export function openTasksOf(
  database: Database,
  grants: readonly string[],
  limit: number,
): Promise<TaskRow[]> {
  return withUnavailable(() =>
    database.orm
      .select(columns)
      .from(task)
      .where(and(eq(task.state, 'open'), isNull(task.endReason), inArray(task.grant, [...grants])))
      .limit(limit),
  );
}

/** Open tasks whose time is up. Replicas that see the same ones collide harmlessly on their versions. */
export async function expiredTasks(database: Database, now: number, limit: number): Promise<TaskRow[]> {
  return withUnavailable(() =>
    database.orm
      .select(columns)
      .from(task)
      .where(and(eq(task.state, 'open'), sql`${task.expiresAt} <= ${instant(now)}::timestamptz`))
      .orderBy(asc(task.expiresAt))
      .limit(limit),
  );
}
