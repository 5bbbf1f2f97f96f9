import { ok, type Result } from '../result.ts';
import type { TaskRow } from '../store/rows.ts';
import { leasesOfTask } from '../store/tasks.ts';
import { aboutLease, aboutTask } from './about.ts';
import { actorOf, type Broker } from './broker.ts';
import { evidenceOf } from './intend.ts';
import { conflictRefusal, hasEnded } from './permit.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { Caller, OpenedTask } from './verbs.ts';

/**
 * Answers a request whose idempotency key has a task already: never with a second credential. What was sealed for
 * the requester's key is given again; what was not was seen once, and is not kept.
 */
export async function repeatTask(
  broker: Broker,
  caller: Caller,
  task: TaskRow,
  requestDigest: string,
): Promise<Result<OpenedTask, Refusal>> {
  const no = (refusal: Refusal) => refuse(broker, caller, aboutTask(task), 'open-task', refusal);
  const now = broker.runtime.now();
  if (task.requestDigest !== requestDigest) {
    return no({ reason: 'idempotency-key-reused', detail: 'The key was used for another request' });
  }
  // What was added to the task since was given to others than this request.
  const leases = (await leasesOfTask(broker.database, task.id)).filter(
    (lease) => lease.createdAt === task.openedAt,
  );
  if (leases.some((lease) => lease.state === 'minting')) {
    return no({ reason: 'in-progress', detail: 'The first request is being served', retryAfterMs: 1_000 });
  }
  if (hasEnded(task, now) || leases.some((lease) => lease.state !== 'active' || lease.endReason !== null)) {
    return no({ reason: 'task-ended', detail: 'The task that the key opened has ended' });
  }
  if (task.sealedToken === null) {
    return no({
      reason: 'already-delivered',
      detail: 'The credential was handed out, and no public key was sent',
    });
  }
  const redelivered = await broker.committer.commit({
    // Evidence that may be used once served the request that opened the task, or serves this one and no other.
    ...evidenceOf(caller, task.idempotencyKey ?? task.id),
    // They change in nothing, but must still be what was looked at: what has begun to end is not given again.
    changedLeases: leases,
    events: leases.map((lease) => ({
      kind: 'lease.redelivered',
      actor: actorOf(caller),
      about: aboutLease(lease),
      data: {},
    })),
  });
  if (!redelivered.ok) return no(conflictRefusal(redelivered.error));
  return ok({
    task,
    token: null,
    sealedToken: task.sealedToken,
    credentials: leases.map((lease) => ({
      name: lease.credential,
      lease,
      secret: null,
      sealed: lease.sealed,
    })),
    repeated: true,
  });
}
