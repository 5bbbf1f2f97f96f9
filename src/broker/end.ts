import type { Actor, EndReason, NewEvent } from '../audit/event.ts';
import { HallpassError } from '../errors.ts';
import { instant } from '../instant.ts';
import { readLease } from '../store/leases.ts';
import type { LeaseRow, TaskRow } from '../store/rows.ts';
import { readTask, readTaskAndLeases, type TaskAndLeases } from '../store/tasks.ts';
import { aboutLease, aboutTask } from './about.ts';
import type { Broker } from './broker.ts';
import { changeLease, committed } from './lease.ts';
import { CHANGE_ATTEMPTS } from './mint.ts';
import { settle } from './settle.ts';

/** Why a task ends, and by whom. */
export interface TaskEnd {
  readonly reason: EndReason;
  readonly exitStatus: number | null;
  readonly actor: Actor;
  /** Asked of the task as it stands; when it says no, nothing is done. */
  readonly stillHolds?: (task: TaskRow, now: number) => boolean;
  /** The task as the caller has just read it: spares reading it again, unless somebody changed it since. */
  readonly seen?: TaskAndLeases;
  /** A lease of the task that is due, and that the caller has claimed. */
  readonly claimed?: LeaseRow;
  /** Ends nothing at a target: the leases are due at once for the reaper. */
  readonly leaveToReaper?: boolean;
}

/**
 * Ends a task and begins to end its leases, in one commit; then ends them at their targets. Resolves when that was
 * tried once: what is not ended by then is the reaper's. Answers the task and its leases as they then stand, or null
 * when nothing was done: the task had ended, is not there, or `stillHolds` said no. Throws `store-conflict` when
 * others changed the task or its leases every time: it then stands as it was.
 */
export async function endTask(broker: Broker, taskId: string, end: TaskEnd): Promise<TaskAndLeases | null> {
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
    const found = attempt === 0 && end.seen ? end.seen : await readTaskAndLeases(broker.database, taskId);
    if (found === null || found.task.state === 'ended') return null;
    const { task, leases } = found;
    const now = broker.runtime.now();
    if (end.stillHolds && !end.stillHolds(task, now)) return null;
    // A kill came first, if it did: its reason stands.
    const reason = task.endReason ?? end.reason;
    const begun = leases
      .filter(isUnended)
      .map((lease) => beginEnding(broker, lease, reason, now, holdOn(lease, end)));
    const ended: TaskRow = {
      ...task,
      state: 'ended',
      endedAt: now,
      endReason: reason,
      exitStatus: end.exitStatus,
    };
    const result = await broker.committer.commit({
      changedTask: ended,
      changedLeases: begun,
      events: [
        ...missedEvent(task, reason),
        {
          kind: 'task.ended',
          actor: end.actor,
          about: aboutTask(task),
          data: { reason, exitStatus: end.exitStatus },
        },
        ...begun.map((lease) => endingEvent(lease, end.actor)),
      ],
    });
    if (!result.ok) continue;
    // Durable: the task has ended, its leases are ending and due. From here on the reaper could do all of it.
    if (end.leaveToReaper) broker.wakeReaper();
    const settled = await Promise.all(
      begun.map(committed).map((lease) => (isOurs(lease) ? settle(broker, lease) : lease)),
    );
    const after = new Map(settled.map((lease) => [lease.id, lease]));
    return { task: committed(ended), leases: leases.map((lease) => after.get(lease.id) ?? lease) };
  }
  throw neverItsTurn(`task "${taskId}"`);
}

function neverItsTurn(what: string): HallpassError {
  return new HallpassError(
    'store-conflict',
    `Cannot end ${what}: it was changed at the same time, every time`,
  );
}

/** Ends one lease for a reason, as `endTask` does for all of a task. Returns it as it stands afterwards, and throws like it. */
export async function endLease(
  broker: Broker,
  leaseId: string,
  end: { readonly reason: EndReason; readonly actor: Actor; readonly note?: string },
): Promise<LeaseRow | null> {
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
    const lease = await readLease(broker.database, leaseId);
    if (lease === null || !isUnended(lease)) return lease;
    const begun = beginEnding(broker, lease, end.reason, broker.runtime.now(), 'free');
    const result = await broker.committer.commit({
      changedLeases: [begun],
      events: [endingEvent(begun, end.actor, end.note)],
    });
    if (result.ok) return isOurs(begun) ? settle(broker, committed(begun)) : committed(begun);
  }
  throw neverItsTurn(`lease "${leaseId}"`);
}

/**
 * Waits for work that goes on by itself, but no longer than a caller can be kept: its answer, or undefined when the
 * wait was over first. Its failure is the caller's while he waits, and the log's afterwards.
 */
export function waitAtMost<T>(broker: Broker, work: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    let waits = true;
    const cancel = broker.runtime.after(broker.limits.endWaitMs, () => {
      waits = false;
      resolve(undefined);
    });
    work.then(
      (answer) => {
        cancel();
        resolve(answer);
      },
      (error: unknown) => {
        cancel();
        if (waits) reject(error);
        else broker.log.error({ err: error }, 'ending failed while nobody waited');
      },
    );
  });
}

/**
 * Does what a claimed lease is due for. The claim is durable and times out: whoever dies in here is followed by the
 * next to claim it, who runs the same code (invariant 8).
 */
export async function endClaimed(broker: Broker, claimed: LeaseRow): Promise<void> {
  if (claimed.state === 'ending') {
    await settle(broker, claimed);
    if (claimed.endReason === 'mint-failed') await endUndelivered(broker, claimed, 'mint-failed');
    return;
  }
  const now = broker.runtime.now();
  const reason = await dueReason(broker, claimed, now);
  if (reason === 'not-due') return;
  if (reason === 'heartbeat-missed') {
    await missHeartbeat(broker, claimed.taskId);
    return;
  }
  if (reason === 'abandoned' && (await endUndelivered(broker, claimed, reason))) return;
  if (reason === 'killed' && (await endKilled(broker, claimed))) return;
  const begun = beginEnding(broker, claimed, reason, now, 'claimed');
  const result = await broker.committer.commit({
    changedLeases: [begun],
    events: [endingEvent(begun, { kind: 'system' })],
  });
  if (result.ok) await settle(broker, committed(begun));
}

/**
 * A task whose opening did not come to its end was delivered to nobody, neither its token nor any of its credentials:
 * all of it ends, since whoever should have ended it is gone. Answers whether it was such a task.
 */
async function endUndelivered(broker: Broker, claimed: LeaseRow, reason: EndReason): Promise<boolean> {
  const task = await readTask(broker.database, claimed.taskId);
  if (task?.state !== 'open' || task.openedAt !== claimed.createdAt) return false;
  await endTask(broker, task.id, { reason, exitStatus: null, actor: { kind: 'system' }, claimed });
  return true;
}

/** Where a kill is about the whole task, the task ends with all that it has. Answers whether it is. */
async function endKilled(broker: Broker, claimed: LeaseRow): Promise<boolean> {
  const task = await readTask(broker.database, claimed.taskId);
  if (task?.state !== 'open' || task.endReason === null) return false;
  const { endReason: reason } = task;
  await endTask(broker, task.id, { reason, exitStatus: null, actor: { kind: 'system' }, claimed });
  return true;
}

function isUnended(lease: LeaseRow): boolean {
  return lease.state === 'minting' || lease.state === 'active';
}

/** Whether the caller began to end it under a claim of his own, and so goes on to end it. */
function isOurs(lease: LeaseRow): boolean {
  return lease.attempts === 1;
}

/** Whose a lease is to end: the caller's by a claim, whose who comes first, or the reaper's alone. */
type Hold = 'claimed' | 'free' | 'reaper';

function holdOn(lease: LeaseRow, end: TaskEnd): Hold {
  if (end.leaveToReaper) return 'reaper';
  return lease.id === end.claimed?.id && lease.version === end.claimed.version ? 'claimed' : 'free';
}

/**
 * A lease that is to end now. One that is active is claimed for the caller, where its target has room; otherwise it
 * is due at once for the reaper. One that is being minted stays due at the end of its mint window: until then it
 * may still come into being. Where the caller has claimed it, that window is over.
 */
function beginEnding(broker: Broker, lease: LeaseRow, reason: EndReason, now: number, hold: Hold): LeaseRow {
  if (lease.state === 'minting' && hold !== 'claimed') {
    const dueAt = Math.max(now, lease.dueAt ?? now);
    return changeLease(lease, { do: 'begin-ending', reason, at: now, dueAt, attempts: 0 });
  }
  const live = broker.targets.get(lease.target);
  const hasRoom = hold === 'free' && live !== undefined && live.ending.refusal(now) === null;
  const claimed = hold === 'claimed' || hasRoom;
  if (!claimed) broker.wakeReaper();
  return changeLease(lease, {
    do: 'begin-ending',
    reason,
    at: now,
    dueAt: claimed ? now + broker.limits.claimMs : now,
    attempts: claimed ? 1 : 0,
  });
}

/** Says that a lease begins to end, for the reason that it has by then. */
function endingEvent(lease: LeaseRow, actor: Actor, note?: string): NewEvent {
  const reason = lease.endReason ?? 'expired';
  const data = note === undefined ? { reason } : { reason, note };
  return { kind: 'lease.ending', actor, about: aboutLease(lease), data };
}

async function dueReason(broker: Broker, lease: LeaseRow, now: number): Promise<EndReason | 'not-due'> {
  // A kill made it due.
  if (lease.endReason !== null) return lease.endReason;
  if (lease.state === 'minting') return 'abandoned';
  if (lease.expiresAt <= now) return 'expired';
  const task = await readTask(broker.database, lease.taskId);
  if (task === null || task.state === 'ended') return task?.endReason ?? 'withdrawn';
  const deadline = task.heartbeatDueAt ?? lease.expiresAt;
  if (deadline <= now) return 'heartbeat-missed';
  // The task was heard of since this lease was made due.
  const changed = changeLease(lease, { do: 'postpone', dueAt: Math.min(deadline, lease.expiresAt) });
  await broker.committer.commit({ changedLeases: [changed], events: [] });
  return 'not-due';
}

async function missHeartbeat(broker: Broker, taskId: string): Promise<void> {
  await endTask(broker, taskId, {
    reason: 'heartbeat-missed',
    exitStatus: null,
    actor: { kind: 'system' },
    // It may have been heard of between our look and our commit.
    stillHolds: (task, now) => task.heartbeatDueAt !== null && task.heartbeatDueAt <= now,
  });
}

function missedEvent(task: TaskRow, reason: EndReason): readonly NewEvent[] {
  if (reason !== 'heartbeat-missed' || task.heartbeatDueAt === null) return [];
  const data = { deadline: instant(task.heartbeatDueAt) };
  return [{ kind: 'task.heartbeat-missed', actor: { kind: 'system' }, about: aboutTask(task), data }];
}
