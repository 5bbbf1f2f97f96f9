import { HallpassError, ProviderError } from '../errors.ts';
import { err, ok, type Result } from '../result.ts';
import { withDeadline } from '../runtime.ts';
import { readLease } from '../store/leases.ts';
import type { LeaseRow } from '../store/rows.ts';
import { readTask } from '../store/tasks.ts';
import { aboutLease } from './about.ts';
import { actorOf, type Broker, instant } from './broker.ts';
import { changeLease, committed } from './lease.ts';
import { askOf, hasEnded, permit } from './open.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { Caller } from './verbs.ts';

const REQUEST = 'renew-lease';

/**
 * Lets a credential live longer, up to its cap: policy is asked again, with the identity that opened the task. The
 * later expiry is committed before the target hears of it; if the target then does not, the credential dies early
 * there, which is safe, and the caller is told and can ask again.
 */
export async function renewLease(
  broker: Broker,
  caller: Caller,
  leaseId: string,
  ttlSeconds: number | null,
): Promise<Result<LeaseRow, Refusal>> {
  const lease = await readLease(broker.database, leaseId);
  const no = (refusal: Refusal) =>
    refuse(broker, caller, lease ? aboutLease(lease) : { lease: leaseId }, REQUEST, refusal);
  if (lease === null || caller.kind !== 'task' || caller.task.id !== lease.taskId) {
    return no({ reason: 'not-found', detail: "There is no such lease, or it is not the caller's" });
  }
  const now = broker.runtime.now();
  const task = await readTask(broker.database, lease.taskId);
  if (task === null || hasEnded(task, now)) return no({ reason: 'task-ended', detail: 'The task has ended' });
  if (lease.state !== 'active' || lease.expiresAt <= now) {
    return no({ reason: 'lease-ended', detail: `The lease is ${lease.state}` });
  }
  const live = broker.targets.get(lease.target);
  const extend = live?.target.extend?.bind(live.target);
  if (live === undefined || extend === undefined) {
    return no({
      reason: 'cannot-renew',
      detail: `"${lease.target}" cannot extend a credential: ask for a new one`,
    });
  }
  const permission = await permit(
    broker,
    caller,
    { ...askOf(task), credentials: [lease.credential], ttlSeconds },
    now,
  );
  if (!permission.ok) return no(permission.error);
  const { decision } = permission.value;
  const credential = decision.credentials[0];
  if (credential === undefined || credential.target !== lease.target) {
    return no({ reason: 'not-allowed', detail: 'The grant has moved this credential to another target' });
  }
  const capAt = Math.min(lease.capAt, lease.createdAt + credential.capSeconds * 1000, task.expiresAt);
  const expiresAt = Math.min(now + credential.ttlSeconds * 1000, capAt);
  if (expiresAt <= lease.expiresAt) {
    if (lease.expiresAt < capAt) return ok(lease);
    return no({
      reason: 'cannot-renew',
      detail: `The lease is at its cap, ${instant(capAt)}: open a new task`,
    });
  }
  const renewed = changeLease(lease, {
    do: 'renew',
    expiresAt,
    dueAt: Math.min(expiresAt, task.heartbeatDueAt ?? expiresAt),
  });
  const result = await broker.committer.commit({
    changedLeases: [renewed],
    events: [
      {
        kind: 'lease.renewed',
        actor: actorOf(caller),
        about: aboutLease(lease),
        data: { expiresAt: instant(expiresAt), grantVersion: decision.grantVersion },
      },
    ],
  });
  if (!result.ok) {
    return err({
      reason: 'in-progress',
      detail: 'The lease was changed at the same time',
      retryAfterMs: 500,
    });
  }
  const ending = { leaseId: lease.id, name: lease.name, handle: lease.handle, expiresAt: lease.expiresAt };
  try {
    await live.minting.run(
      () =>
        withDeadline(broker.runtime, broker.limits.mintTimeoutMs, (signal) =>
          extend(ending, expiresAt, signal),
        ),
      broker.runtime.now,
    );
  } catch (error) {
    if (!(error instanceof ProviderError || error instanceof HallpassError)) throw error;
    return no({
      reason: 'target-unavailable',
      detail: `"${lease.target}" did not extend: ${error.code}: ${error.message}`,
      retryAfterMs: 1_000,
    });
  }
  return ok(committed(renewed));
}
