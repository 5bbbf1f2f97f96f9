import type { DecidedCredential, Decision } from '../grants/grant.ts';
import { instant } from '../instant.ts';
import { err, ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import type { QuotaUse, Unit } from '../store/commit.ts';
import { grantQuota } from '../store/quotas.ts';
import type { LeaseRow, TaskGrantRow, TaskRow } from '../store/rows.ts';
import { taskGrantQuota } from '../store/task-grants.ts';
import { aboutLease } from './about.ts';
import type { Broker } from './broker.ts';
import { waitAtMost } from './end.ts';
import { mintLease } from './mint.ts';
import type { Refusal } from './refusal.ts';
import type { Seal } from './seal.ts';
import type { LiveTarget } from './targets.ts';
import type { Caller, IssuedCredential } from './verbs.ts';

/** The targets of these credentials, or a refusal before intent when one of them takes no more now. */
export function admit(
  broker: Broker,
  credentials: readonly DecidedCredential[],
  now: number,
): Result<ReadonlyMap<string, LiveTarget>, Refusal> {
  const targets = new Map<string, LiveTarget>();
  for (const { target: name } of credentials) {
    const live = broker.targets.get(name);
    if (live === undefined)
      return err({ reason: 'not-allowed', detail: `target: there is no target "${name}"` });
    const refusal = live.minting.refusal(now);
    if (refusal !== null) {
      const { why, retryAfterMs } = refusal;
      return why === 'open'
        ? err({ reason: 'target-unavailable', detail: `"${name}" fails`, retryAfterMs })
        : err({ reason: 'overloaded', detail: `"${name}" has no room`, retryAfterMs });
    }
    targets.set(name, live);
  }
  return ok(targets);
}

/** The record of a credential that does not exist yet: it is committed before anybody is asked to make it. */
export function intend(
  broker: Broker,
  task: TaskRow,
  credential: DecidedCredential,
  decision: Decision,
  now: number,
  createdAt = now,
): LeaseRow {
  const id = newId(broker.runtime);
  const capAt = Math.min(now + credential.capSeconds * 1000, task.expiresAt);
  return {
    id,
    taskId: task.id,
    version: 1,
    state: 'minting',
    credential: credential.name,
    grant: decision.grant,
    target: credential.target,
    provider: credential.provider,
    name: `${broker.mark}${id}`,
    issuer: task.issuer,
    subject: task.subject,
    scope: credential.scope,
    counted: isLimited(decision),
    createdAt,
    issuedAt: null,
    expiresAt: Math.min(now + credential.ttlSeconds * 1000, capAt),
    capAt,
    dueAt: now + broker.limits.mintWindowMs,
    handle: null,
    sealed: null,
    endReason: null,
    endingSince: null,
    attempts: 0,
    lastError: null,
    endedAt: null,
    outcome: null,
    evidence: null,
    use: null,
  };
}

export function intendedEvent(lease: LeaseRow) {
  return {
    kind: 'lease.intended',
    actor: { kind: 'system' },
    about: aboutLease(lease),
    data: {
      credential: lease.credential,
      provider: lease.provider,
      name: lease.name,
      scope: lease.scope,
      expiresAt: instant(lease.expiresAt),
      capAt: instant(lease.capAt),
    },
  } as const;
}

/** All of these credentials, or none: where one fails, all are ended by `undo` before the caller hears of it. */
export async function mintAll(
  broker: Broker,
  task: TaskRow,
  leases: readonly LeaseRow[],
  targets: ReadonlyMap<string, LiveTarget>,
  seal: Seal | null,
  undo: (reason: 'mint-failed' | 'abandoned') => Promise<unknown>,
): Promise<Result<readonly IssuedCredential[], Refusal>> {
  const answers = await Promise.allSettled(
    leases.map(async (lease) => {
      const live = targets.get(lease.target);
      if (live === undefined) throw new Error(`no target for lease ${lease.id}`);
      return mintLease(broker, task, lease, live, seal);
    }),
  );
  const issued: IssuedCredential[] = [];
  for (const answer of answers) {
    if (answer.status === 'rejected') {
      // The store did not take one. If it is still away the reaper finds what is left, and nobody was given any of it.
      await waitAtMost(broker, undo('abandoned')).catch(() => {});
      throw answer.reason;
    }
    if (!answer.value.ok) {
      await waitAtMost(broker, undo('mint-failed'));
      return answer.value;
    }
    issued.push(answer.value.value);
  }
  return ok(issued);
}

function isLimited(decision: Decision): boolean {
  return decision.limits.liveLeases !== null || decision.limits.issuesPerHour !== null;
}

/** What these leases add to the counters behind the limits. */
export function quotasOf(
  decision: Decision,
  leases: number,
  taskGrant: TaskGrantRow | null,
): readonly QuotaUse[] {
  const uses: QuotaUse[] = [];
  if (isLimited(decision)) {
    uses.push({
      key: grantQuota(decision.grant),
      live: leases,
      total: leases,
      issued: leases,
      maxLive: decision.limits.liveLeases,
      maxTotal: null,
      maxIssuedAnHour: decision.limits.issuesPerHour,
    });
  }
  if (taskGrant !== null) {
    uses.push({
      key: taskGrantQuota(taskGrant.id),
      live: 0,
      total: 1,
      issued: 0,
      maxLive: null,
      maxTotal: taskGrant.uses,
      maxIssuedAnHour: null,
    });
  }
  return uses;
}

/** Records the use of all evidence that may be used once, bound to this request so that its own retry passes. */
export function evidenceOf(caller: Caller, usedFor: string): Pick<Unit, 'evidence'> {
  if (caller.kind !== 'principal') return {};
  const { principal, possession } = caller;
  const uses = [
    principal.proof.singleUse,
    ...(principal.proof.singleUses ?? []),
    ...(principal.actors ?? []).map((actor) => actor.proof?.singleUse),
    possession?.singleUse,
  ];
  const evidence = uses.flatMap((once) => (once ? [{ id: once.id, usedFor, keepUntil: once.until }] : []));
  return evidence.length === 0 ? {} : { evidence };
}
