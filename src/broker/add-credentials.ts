import type { DecidedCredential } from '../grants/grant.ts';
import type { Json } from '../json.ts';
import { ok, type Result } from '../result.ts';
import type { TaskRow } from '../store/rows.ts';
import { aboutTask } from './about.ts';
import { actorOf, type Broker } from './broker.ts';
import { endLease } from './end.ts';
import { admit, intend, intendedEvent, mintAll, quotasOf } from './intend.ts';
import { committed } from './lease.ts';
import { askOf, conflictRefusal, hasEnded, permit } from './permit.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import { sealFor } from './seal.ts';
import type { LiveTarget } from './targets.ts';
import type { Caller, IssuedCredential } from './verbs.ts';

/** More credentials for a task that is open: the same checks as at its opening, for the identity that opened it. */
export async function addCredentials(
  broker: Broker,
  caller: Caller,
  taskId: string,
  ask: { readonly credentials: readonly string[]; readonly ttlSeconds: number | null },
): Promise<Result<{ task: TaskRow; credentials: readonly IssuedCredential[] }, Refusal>> {
  const request = 'add-credentials';
  const no = (refusal: Refusal) => refuse(broker, caller, { task: taskId }, request, refusal);
  if (caller.kind !== 'task' || caller.task.id !== taskId) {
    return no({ reason: 'not-found', detail: 'The token is not of this task' });
  }
  const { task } = caller;
  if (broker.grants.get(task.grant)?.approval) {
    return no({ reason: 'not-allowed', detail: 'approval: it was given for what the task was opened with' });
  }
  if (task.practice || broker.grants.get(task.grant)?.breakGlass) {
    return no({
      reason: 'not-allowed',
      detail: 'break-glass: its review is of what the task was opened with',
    });
  }
  const now = broker.runtime.now();
  if (hasEnded(task, now)) return no({ reason: 'task-ended', detail: 'The task has ended' });

  const permission = await permit(broker, caller, { ...askOf(task), ...ask }, now);
  if (!permission.ok) return no(permission.error);
  const { decision } = permission.value;
  const admission = admit(broker, decision.credentials, now);
  if (!admission.ok) return no(admission.error);
  const seal = task.publicKey === null ? ok(null) : await sealFor(task.publicKey as Record<string, Json>);
  if (!seal.ok) return no({ reason: 'invalid-request', detail: seal.error });

  const tooShort = tooLate(decision.credentials, admission.value, task.expiresAt - now);
  if (tooShort !== null) return no({ reason: 'task-ended', detail: tooShort });
  // Only what a task was opened with has its very instant.
  const createdAt = Math.max(now, task.openedAt + 1);
  const leases = decision.credentials.map((credential) =>
    intend(broker, task, credential, decision, now, createdAt),
  );
  const intent = await broker.committer.commit({
    // Not changed, but held to its version: a task that ends meanwhile gets no more leases.
    changedTask: task,
    newLeases: leases,
    quotas: quotasOf(decision, leases.length, null),
    events: [
      {
        kind: 'task.extended',
        actor: actorOf(caller),
        about: aboutTask(task),
        data: { credentials: [...ask.credentials], request },
      },
      ...leases.map(intendedEvent),
    ],
  });
  if (!intent.ok) return no(conflictRefusal(intent.error));
  const issued = await mintAll(broker, task, leases, admission.value, seal.value, async (reason) => {
    // What the task had before, it keeps.
    await Promise.all(
      leases.map((lease) => endLease(broker, lease.id, { reason, actor: { kind: 'system' } })),
    );
  });
  return issued.ok ? ok({ task: committed(task), credentials: issued.value }) : no(issued.error);
}

/** Whether the task's own end leaves a credential less time than its target can give: null when there is enough. */
function tooLate(
  credentials: readonly DecidedCredential[],
  targets: ReadonlyMap<string, LiveTarget>,
  leftMs: number,
): string | null {
  for (const { target } of credentials) {
    const shortest = targets.get(target)?.kind.ttl.shortestSeconds ?? 0;
    if (leftMs < shortest * 1000) return `The task ends before the shortest lifetime at "${target}"`;
  }
  return null;
}
