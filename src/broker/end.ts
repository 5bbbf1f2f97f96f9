import type { Actor, EndReason, NewEvent, Outcome } from '../audit/event.ts';
import type { Json } from '../json.ts';
import type { BrokerLimits } from '../limits.ts';
import type { EndableTarget, Ended } from '../providers/provider.ts';
import { withDeadline } from '../runtime.ts';
import { leasesOfTask, readLease } from '../store/leases.ts';
import type { LeaseRow, TaskRow } from '../store/rows.ts';
import { readTask } from '../store/tasks.ts';
import { aboutLease, aboutTask, nameless } from './about.ts';
import { type Broker, instant } from './broker.ts';
import { changeLease, committed } from './lease.ts';
import { CHANGE_ATTEMPTS, describe, releaseQuota } from './mint.ts';
import type { LiveTarget } from './targets.ts';

/** Why a task ends, and by whom. */
export interface TaskEnd {
  readonly reason: EndReason;
  readonly exitStatus: number | null;
  readonly actor: Actor;
  /** Asked of the task as it stands; when it says no, nothing is done. */
  readonly stillHolds?: (task: TaskRow, now: number) => boolean;
}

/**
 * Ends a task and begins to end its leases, in one commit; then ends them at their targets. Resolves when that was
 * tried once: what is not ended by then is the reaper's. Calling it for a task that has ended changes nothing.
 */
export async function endTask(broker: Broker, taskId: string, end: TaskEnd): Promise<void> {
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
    const task = await readTask(broker.database, taskId);
    if (task === null || task.state === 'ended') return;
    const now = broker.runtime.now();
    if (end.stillHolds && !end.stillHolds(task, now)) return;
    const leases = (await leasesOfTask(broker.database, taskId)).filter(isUnended);
    const begun = leases.map((lease) => beginEnding(broker, lease, end.reason, now));
    const ended: TaskRow = {
      ...task,
      state: 'ended',
      endedAt: now,
      endReason: end.reason,
      exitStatus: end.exitStatus,
    };
    const result = await broker.committer.commit({
      changedTask: ended,
      changedLeases: begun,
      events: [
        ...missedEvent(task, end.reason),
        {
          kind: 'task.ended',
          actor: end.actor,
          about: aboutTask(task),
          data: { reason: end.reason, exitStatus: end.exitStatus },
        },
        ...begun.map((lease) => endingEvent(lease, end.actor, end.reason)),
      ],
    });
    if (result.ok) {
      // Durable: the task has ended, its leases are ending and due. From here on the reaper could do all of it.
      await Promise.all(
        begun
          .map(committed)
          .filter(isOurs)
          .map((lease) => settle(broker, lease)),
      );
      return;
    }
  }
}

/** Ends one lease for a reason, as `endTask` does for all of a task. Returns it as it stands afterwards. */
export async function endLease(
  broker: Broker,
  leaseId: string,
  end: { readonly reason: EndReason; readonly actor: Actor; readonly note?: string },
): Promise<LeaseRow | null> {
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
    const lease = await readLease(broker.database, leaseId);
    if (lease === null || !isUnended(lease)) return lease;
    const begun = beginEnding(broker, lease, end.reason, broker.runtime.now());
    const result = await broker.committer.commit({
      changedLeases: [begun],
      events: [endingEvent(begun, end.actor, end.reason, end.note)],
    });
    if (result.ok) return isOurs(begun) ? settle(broker, committed(begun)) : committed(begun);
  }
  return readLease(broker.database, leaseId);
}

/**
 * Does what a claimed lease is due for. The claim is durable and times out: whoever dies in here is followed by the
 * next to claim it, who runs the same code (invariant 8).
 */
export async function endClaimed(broker: Broker, claimed: LeaseRow): Promise<void> {
  if (claimed.state === 'ending') {
    await settle(broker, claimed);
    return;
  }
  const now = broker.runtime.now();
  const reason = await dueReason(broker, claimed, now);
  if (reason === 'not-due') return;
  if (reason === 'heartbeat-missed') {
    await missHeartbeat(broker, claimed.taskId);
    return;
  }
  const begun = changeLease(claimed, {
    do: 'begin-ending',
    reason,
    at: now,
    dueAt: now + broker.limits.claimMs,
    attempts: 1,
  });
  const result = await broker.committer.commit({
    changedLeases: [begun],
    events: [endingEvent(begun, { kind: 'system' }, reason)],
  });
  if (result.ok) await settle(broker, committed(begun));
}

function isUnended(lease: LeaseRow): boolean {
  return lease.state === 'minting' || lease.state === 'active';
}

/** Whether the caller began to end it under a claim of his own, and so goes on to end it. */
function isOurs(lease: LeaseRow): boolean {
  return lease.attempts === 1;
}

/**
 * A lease that is to end now. One that is active is claimed for the caller, where its target has room; otherwise it
 * is due at once for the reaper. One that is being minted stays due at the end of its mint window: until then it
 * may still come into being.
 */
function beginEnding(broker: Broker, lease: LeaseRow, reason: EndReason, now: number): LeaseRow {
  if (lease.state === 'minting') {
    const dueAt = Math.max(now, lease.dueAt ?? now);
    return changeLease(lease, { do: 'begin-ending', reason, at: now, dueAt, attempts: 0 });
  }
  const live = broker.targets.get(lease.target);
  const claimed = live !== undefined && live.ending.refusal(now) === null;
  if (!claimed) broker.wakeReaper();
  return changeLease(lease, {
    do: 'begin-ending',
    reason,
    at: now,
    dueAt: claimed ? now + broker.limits.claimMs : now,
    attempts: claimed ? 1 : 0,
  });
}

function endingEvent(lease: LeaseRow, actor: Actor, reason: EndReason, note?: string): NewEvent {
  const data = note === undefined ? { reason } : { reason, note };
  return { kind: 'lease.ending', actor, about: aboutLease(lease), data };
}

async function dueReason(broker: Broker, lease: LeaseRow, now: number): Promise<EndReason | 'not-due'> {
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

/** One attempt to settle how a lease ends, by whoever holds its claim; the result is committed, whichever it is. */
async function settle(broker: Broker, lease: LeaseRow): Promise<LeaseRow> {
  const live = broker.targets.get(lease.target);
  if (live === undefined) return lease;
  const { target } = live;
  if (target.ends === 'expiry-only') return settleByExpiry(broker, lease, lease.expiresAt, {});
  let ended: Ended;
  try {
    ended = await endAtTarget(broker, lease, live, target);
  } catch (error) {
    return endLater(broker, lease, error);
  }
  if (ended.lapsesAt !== undefined)
    return settleByExpiry(broker, lease, ended.lapsesAt, { withdrawn: ended.evidence });
  return finish(broker, lease, outcomeOf(lease, target, ended), ended.evidence);
}

/** Durable before: `ending` and the claim. A death in here is an attempt that nobody heard of; the next one finds what is left. */
function endAtTarget(
  broker: Broker,
  lease: LeaseRow,
  live: LiveTarget,
  target: EndableTarget,
): Promise<Ended> {
  const { runtime, limits } = broker;
  const ending = { leaseId: lease.id, name: lease.name, handle: lease.handle, expiresAt: lease.expiresAt };
  return live.ending.run(
    () => withDeadline(runtime, limits.endTimeoutMs, (signal) => target.end(ending, signal)),
    runtime.now,
  );
}

/**
 * Never minted, if nothing was there and nothing can have been: the lease was never issued, and this is the first
 * attempt to end it, so no earlier one can have removed it without our hearing of it.
 */
function outcomeOf(lease: LeaseRow, target: EndableTarget, ended: Ended): Outcome {
  const neverSeen = lease.issuedAt === null && lease.handle === null && lease.attempts <= 1;
  if (!ended.found && neverSeen) return 'never-minted';
  return target.ends === 'confirmed' ? 'revoked' : 'denied';
}

/** What cannot be withdrawn has ended when it has lapsed, and not before. */
async function settleByExpiry(
  broker: Broker,
  lease: LeaseRow,
  lapsesAt: number,
  seen: { readonly [name: string]: Json },
): Promise<LeaseRow> {
  if (broker.runtime.now() < lapsesAt) {
    const waiting = changeLease(lease, { do: 'end-later', dueAt: lapsesAt, error: null });
    const result = await broker.committer.commit({ changedLeases: [waiting], events: [] });
    return result.ok ? committed(waiting) : lease;
  }
  const evidence: Json = { ...seen, lapsedAt: instant(lapsesAt), received: lease.issuedAt !== null };
  return finish(broker, lease, 'expired', evidence);
}

async function finish(broker: Broker, lease: LeaseRow, outcome: Outcome, evidence: Json): Promise<LeaseRow> {
  const now = broker.runtime.now();
  const ended = changeLease(lease, { do: 'end', at: now, outcome, evidence });
  const result = await broker.committer.commit({
    changedLeases: [ended],
    ...releaseQuota(ended),
    events: [
      {
        kind: 'lease.ended',
        actor: { kind: 'system' },
        about: aboutLease(lease),
        data: { outcome, reason: lease.endReason ?? 'expired', evidence },
      },
    ],
  });
  if (!result.ok) return (await readLease(broker.database, lease.id)) ?? lease;
  broker.observe.ended(lease.target, outcome, now - (lease.endingSince ?? now));
  return committed(ended);
}

/** There is no last attempt: the next is later each time, up to a cap, for ever (invariant 2). */
async function endLater(broker: Broker, lease: LeaseRow, error: unknown): Promise<LeaseRow> {
  const now = broker.runtime.now();
  const { code, detail } = describe(error);
  const dueAt = now + retryDelayMs(broker.limits, lease.attempts, broker.runtime.randomBytes(1)[0] ?? 0);
  const overdue = now - (lease.endingSince ?? now) > broker.limits.overdueAfterMs;
  broker.observe.endFailed(lease.target, code);
  broker.log[overdue ? 'error' : 'warn'](
    {
      lease: lease.id,
      target: lease.target,
      code,
      detail,
      attempt: lease.attempts,
      overdue,
      err: nameless(error),
    },
    'ending failed, and goes on',
  );
  const later = changeLease(lease, { do: 'end-later', dueAt, error: `${code}: ${detail}` });
  const result = await broker.committer.commit({
    changedLeases: [later],
    events: [
      {
        kind: 'lease.end-failed',
        actor: { kind: 'system' },
        about: aboutLease(lease),
        data: { code, detail, attempt: lease.attempts, nextAttemptAt: instant(dueAt), overdue },
      },
    ],
  });
  return result.ok ? committed(later) : lease;
}

/** Doubles from the first wait to the cap, and spreads by up to a quarter, so that failures do not march in step. */
export function retryDelayMs(limits: BrokerLimits, attempt: number, random: number): number {
  const doubled = limits.endRetryFirstMs * 2 ** Math.min(attempt - 1, 30);
  const capped = Math.min(doubled, limits.endRetryCapMs);
  return Math.round(capped * (0.75 + (random / 255) * 0.25));
}
