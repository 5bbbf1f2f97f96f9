import { instant } from '../instant.ts';
import { ok, type Result } from '../result.ts';
import { withDeadline } from '../runtime.ts';
import type { Conflict } from '../store/commit.ts';
import { readLease } from '../store/leases.ts';
import type { LeaseRow, TaskRow } from '../store/rows.ts';
import { readTask } from '../store/tasks.ts';
import { aboutLease, nameless } from './about.ts';
import { actorOf, type Broker } from './broker.ts';
import { changeLease, committed } from './lease.ts';
import { CHANGE_ATTEMPTS, describe } from './mint.ts';
import { askOf, hasEnded, permit } from './permit.ts';
import { BLOCKED, type Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { LiveTarget } from './targets.ts';
import { changedMeanwhile } from './task.ts';
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
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
    const answer = await renewAsItStands(broker, caller, leaseId, ttlSeconds);
    if (answer !== 'changed') return answer;
  }
  return changedMeanwhile(broker, caller, { lease: leaseId }, REQUEST);
}

async function renewAsItStands(
  broker: Broker,
  caller: Caller,
  leaseId: string,
  ttlSeconds: number | null,
): Promise<Result<LeaseRow, Refusal> | 'changed'> {
  const lease = await readLease(broker.database, leaseId);
  const no = (refusal: Refusal) =>
    refuse(broker, caller, lease ? aboutLease(lease) : { lease: leaseId }, REQUEST, refusal);
  if (lease === null || caller.kind !== 'task' || caller.task.id !== lease.taskId) {
    return no({ reason: 'not-found', detail: "There is no such lease, or it is not the caller's" });
  }
  const now = broker.runtime.now();
  const task = await readTask(broker.database, lease.taskId);
  if (task === null || hasEnded(task, now)) return no({ reason: 'task-ended', detail: 'The task has ended' });
  if (lease.state !== 'active' || lease.endReason !== null || lease.expiresAt <= now) {
    return no({ reason: 'lease-ended', detail: `The lease is ${lease.state}` });
  }
  const live = broker.targets.get(lease.target);
  if (live?.target.extend === undefined) {
    const detail = `"${lease.target}" cannot extend a credential: ask for a new one`;
    return no({ reason: 'cannot-renew', detail });
  }
  const ask = { ...askOf(task), credentials: [lease.credential], ttlSeconds };
  const permission = await permit(broker, caller, ask, now);
  if (!permission.ok) return no(permission.error);
  const { decision } = permission.value;
  if (broker.grants.get(task.grant)?.approval && decision.grantVersion !== task.grantVersion) {
    return no({ reason: 'not-allowed', detail: 'approval: it was given for the grant as it was' });
  }
  const credential = decision.credentials[0];
  if (credential === undefined || credential.target !== lease.target) {
    return no({ reason: 'not-allowed', detail: 'The grant has moved this credential to another target' });
  }
  const refusal = live.minting.refusal(now);
  if (refusal !== null) {
    const detail = `"${lease.target}" ${refusal.why === 'open' ? 'fails' : 'has no room'}`;
    const reason = refusal.why === 'open' ? 'target-unavailable' : 'overloaded';
    return no({ reason, detail, retryAfterMs: refusal.retryAfterMs });
  }
  const capAt = Math.min(lease.capAt, lease.createdAt + credential.capSeconds * 1000, task.expiresAt);
  const expiresAt = Math.min(now + credential.ttlSeconds * 1000, capAt);
  if (expiresAt > lease.expiresAt) {
    const renewed = await commitRenewal(broker, caller, lease, task, expiresAt, decision.grantVersion);
    if (!renewed.ok) return renewed.error === 'blocked' ? no(BLOCKED) : 'changed';
    return extendAtTarget(broker, renewed.value, live, no);
  }
  if (lease.expiresAt >= capAt && lease.lastError === null) {
    const detail = `The lease is at its cap, ${instant(capAt)}: open a new task`;
    return no({ reason: 'cannot-renew', detail });
  }
  // It lives as long as that already. An earlier renewal may have failed or died on its way to the target.
  return extendAtTarget(broker, lease, live, no);
}

/** The lease with its later expiry, or why it has none: somebody else changed it first, or a kill keeps it out. */
async function commitRenewal(
  broker: Broker,
  caller: Caller,
  lease: LeaseRow,
  task: TaskRow,
  expiresAt: number,
  grantVersion: string,
): Promise<Result<LeaseRow, Conflict>> {
  const dueAt = Math.min(expiresAt, task.heartbeatDueAt ?? expiresAt);
  const renewed = changeLease(lease, { do: 'renew', expiresAt, dueAt });
  const result = await broker.committer.commit({
    changedLeases: [renewed],
    events: [
      {
        kind: 'lease.renewed',
        actor: actorOf(caller),
        about: aboutLease(lease),
        data: { expiresAt: instant(expiresAt), grantVersion },
      },
    ],
  });
  return result.ok ? ok(committed(renewed)) : result;
}

/** Durable before: the later expiry. A death in here leaves a credential that dies early; the next renewal repeats the call. */
async function extendAtTarget(
  broker: Broker,
  lease: LeaseRow,
  live: LiveTarget,
  no: (refusal: Refusal) => Promise<Result<never, Refusal>>,
): Promise<Result<LeaseRow, Refusal>> {
  const { runtime, limits } = broker;
  const { id: leaseId, name, handle, expiresAt } = lease;
  try {
    await live.minting.run(
      () =>
        withDeadline(runtime, limits.mintTimeoutMs, async (signal) =>
          live.target.extend?.({ leaseId, name, handle, expiresAt }, expiresAt, signal),
        ),
      runtime.now,
    );
  } catch (error) {
    const { code, detail } = describe(error);
    broker.log.warn(
      { lease: lease.id, target: lease.target, code, detail, err: nameless(error) },
      'extending failed',
    );
    await note(broker, lease, `${code}: ${detail}`);
    const said = `"${lease.target}" did not extend: ${code}: ${detail}`;
    return no({ reason: 'target-unavailable', detail: said, retryAfterMs: 1_000 });
  }
  return ok(lease.lastError === null ? lease : await note(broker, lease, null));
}

/** Remembers whether the target knows of the expiry. Where somebody else changed the lease, what he did counts. */
async function note(broker: Broker, lease: LeaseRow, error: string | null): Promise<LeaseRow> {
  const noted = changeLease(lease, { do: 'note', error });
  const result = await broker.committer.commit({ changedLeases: [noted], events: [] });
  return result.ok ? committed(noted) : ((await readLease(broker.database, lease.id)) ?? lease);
}
