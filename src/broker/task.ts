import type { About } from '../audit/event.ts';
import { ok, type Result } from '../result.ts';
import type { LeaseRow, TaskRow } from '../store/rows.ts';
import { readTaskAndLeases, type TaskAndLeases } from '../store/tasks.ts';
import { actorOf, type Broker } from './broker.ts';
import { endTask, waitAtMost } from './end.ts';
import { changeLease, committed } from './lease.ts';
import { CHANGE_ATTEMPTS } from './mint.ts';
import { hasEnded } from './permit.ts';
import { BLOCKED, type Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { Caller } from './verbs.ts';

/** A sign of life: moves the deadline of the task and of what its leases are due for. A deadline that has passed stays passed. */
export async function heartbeat(
  broker: Broker,
  caller: Caller,
  taskId: string,
): Promise<Result<TaskRow, Refusal>> {
  const request = 'heartbeat';
  if (caller.kind !== 'task' || caller.task.id !== taskId) return notTheirs(broker, caller, taskId, request);
  let found: TaskAndLeases | null = caller;
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
    const now = broker.runtime.now();
    if (found === null || hasEnded(found.task, now)) {
      const detail = 'The task has ended';
      return refuse(broker, caller, { task: taskId }, request, { reason: 'task-ended', detail });
    }
    const { task } = found;
    if (task.heartbeatSeconds === null) return ok(task);
    const deadline = now + task.heartbeatSeconds * 1000;
    const leases = found.leases.filter(isKept);
    const changed: TaskRow = { ...task, heartbeatDueAt: deadline };
    const result = await broker.committer.commit({
      changedTask: changed,
      changedLeases: leases.map((lease) =>
        changeLease(lease, { do: 'postpone', dueAt: Math.min(deadline, lease.expiresAt) }),
      ),
      events: [],
    });
    if (result.ok) return ok(committed(changed));
    if (result.error === 'blocked') return refuse(broker, caller, { task: taskId }, request, BLOCKED);
    found = await readTaskAndLeases(broker.database, taskId);
  }
  return changedMeanwhile(broker, caller, { task: taskId }, request);
}

/** Whether signs of life are for this lease: one that a kill made due stays due. */
function isKept(lease: LeaseRow): boolean {
  return lease.state === 'active' && lease.endReason === null;
}

/**
 * Ends the task. Waits a bounded time for its leases to end at their targets; those that have not by then go on
 * ending without the caller. Completing a task that has ended says how it stands.
 */
export async function completeTask(
  broker: Broker,
  caller: Caller,
  taskId: string,
  exitStatus: number | null,
): Promise<Result<TaskAndLeases, Refusal>> {
  const allowed = caller.kind === 'task' ? caller.task.id === taskId : caller.roles.has('operator');
  if (!allowed) return notTheirs(broker, caller, taskId, 'complete-task');
  const reason = caller.kind === 'task' ? 'completed' : 'revoked';
  const seen = caller.kind === 'task' ? { seen: caller } : {};
  const work = endTask(broker, taskId, { reason, exitStatus, actor: actorOf(caller), ...seen });
  const ended = await waitAtMost(broker, work);
  if (ended) return ok(ended);
  const found = await readTaskAndLeases(broker.database, taskId);
  if (found === null) return notTheirs(broker, caller, taskId, 'complete-task');
  // The wait was over before the store had it: he must not believe that it has ended.
  if (found.task.state !== 'ended')
    return changedMeanwhile(broker, caller, { task: taskId }, 'complete-task');
  return ok(found);
}

/** The answer when others changed what the caller wants to change every time, or are still at it: he may ask again. */
export function changedMeanwhile(broker: Broker, caller: Caller, about: About, request: string) {
  return refuse(broker, caller, about, request, {
    reason: 'in-progress',
    detail: 'It is being changed at the same time',
    retryAfterMs: 1_000,
  });
}

/** One answer for what does not exist and for what is somebody else's. */
export function notTheirs(broker: Broker, caller: Caller, taskId: string, request: string) {
  return refuse(broker, caller, { task: taskId }, request, {
    reason: 'not-found',
    detail: "There is no such task, or it is not the caller's",
  });
}
