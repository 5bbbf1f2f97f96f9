import type { Json } from '../json.ts';
import { ok, type Result } from '../result.ts';
import { listEvents } from '../store/events.ts';
import { listLeases as listLeaseRows, readLease as readLeaseRow } from '../store/leases.ts';
import type { LeaseRow, TaskRow } from '../store/rows.ts';
import { listTasks as listTaskRows, readTaskAndLeases } from '../store/tasks.ts';
import { authorize, mayRead } from './authorize.ts';
import type { Broker } from './broker.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import { notTheirs } from './task.ts';
import type { AuditFilter, Caller, LeaseFilter, Page, TaskFilter, Verbs } from './verbs.ts';

/** A task and its leases, for its holder, operators and auditors. */
export async function readTask(
  broker: Broker,
  caller: Caller,
  taskId: string,
): Promise<Result<{ task: TaskRow; leases: readonly LeaseRow[] }, Refusal>> {
  const found = await readTaskAndLeases(broker.database, taskId);
  if (found === null || !mayRead(caller, taskId)) return notTheirs(broker, caller, taskId, 'read-task');
  const permission = await authorizeReading(broker, caller, 'task', { task: taskId });
  return permission.ok ? ok(found) : permission;
}

/** A lease, for its task's holder, operators and auditors. */
export async function readLease(
  broker: Broker,
  caller: Caller,
  leaseId: string,
): Promise<Result<LeaseRow, Refusal>> {
  const lease = await readLeaseRow(broker.database, leaseId);
  if (lease === null || !mayRead(caller, lease.taskId)) {
    return refuse(broker, caller, { lease: leaseId }, 'read-lease', {
      reason: 'not-found',
      detail: "There is no such lease, or it is not the caller's",
    });
  }
  const permission = await authorizeReading(broker, caller, 'lease', { lease: leaseId });
  return permission.ok ? ok(lease) : permission;
}

export async function listTasks(
  broker: Broker,
  caller: Caller,
  filter: TaskFilter,
  page: Page,
): ReturnType<Verbs['listTasks']> {
  const permission = await authorize(broker, caller, ['operator', 'auditor'], 'tasks', { ...filter });
  if (!permission.ok) return permission;
  const tasks = await listTaskRows(broker.database, filter, page.cursor, page.limit);
  return ok({ tasks, nextCursor: tasks.length < page.limit ? null : (tasks.at(-1)?.id ?? null) });
}

/** Leases by filters. The holder of a task sees those of his task alone. */
export async function listLeases(
  broker: Broker,
  caller: Caller,
  filter: LeaseFilter,
  page: Page,
): ReturnType<Verbs['listLeases']> {
  const wanted = caller.kind === 'task' ? { ...filter, task: caller.task.id } : filter;
  if (caller.kind === 'principal') {
    const permission = await authorize(broker, caller, ['operator', 'auditor'], 'leases', { ...filter });
    if (!permission.ok) return permission;
  }
  const { overdue, outcome, ...rest } = wanted;
  const leases = await listLeaseRows(
    broker.database,
    {
      ...rest,
      outcome: outcome as LeaseRow['outcome'] | undefined,
      overdueSince: overdue ? broker.runtime.now() - broker.limits.overdueAfterMs : undefined,
    },
    page.cursor,
    page.limit,
  );
  return ok({ leases, nextCursor: leases.length < page.limit ? null : (leases.at(-1)?.id ?? null) });
}

export async function readAudit(
  broker: Broker,
  caller: Caller,
  filter: AuditFilter,
  page: Page,
): ReturnType<Verbs['readAudit']> {
  const permission = await authorize(broker, caller, ['operator', 'auditor'], 'audit', { ...filter });
  if (!permission.ok) return permission;
  const after = page.cursor === null ? null : Number(page.cursor);
  if (after !== null && !Number.isSafeInteger(after)) {
    return refuse(broker, caller, {}, 'read-audit', {
      reason: 'invalid-request',
      detail: 'The cursor is not one of ours: leave it out to start',
    });
  }
  const stored = await listEvents(broker.database, filter, after, page.limit);
  const last = stored.length < page.limit ? undefined : stored.at(-1);
  return ok({ events: stored.map((row) => row.event), nextCursor: last ? String(last.seq) : null });
}

/** Reading by somebody with a role is a disclosure, and logged; a holder reading his own is not. */
function authorizeReading(broker: Broker, caller: Caller, what: string, filter: Json) {
  return caller.kind === 'task'
    ? Promise.resolve(ok(undefined))
    : authorize(broker, caller, ['operator', 'auditor'], what, filter);
}
