import { redactClaims } from '../audit/redact.ts';
import { readCut } from '../grants/cut.ts';
import { decide } from '../grants/decide.ts';
import type { Ask, Cut, DecidedCredential, Decision } from '../grants/grant.ts';
import { digestJson, type Json } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import type { QuotaUse, Unit } from '../store/commit.ts';
import { grantQuota } from '../store/quotas.ts';
import type { LeaseRow, TaskGrantRow, TaskRow } from '../store/rows.ts';
import { readTaskGrant, taskGrantQuota } from '../store/task-grants.ts';
import { taskByIdempotencyKey } from '../store/tasks.ts';
import { aboutLease, aboutTask } from './about.ts';
import { actorOf, type Broker, instant, names, principalOf } from './broker.ts';
import { actorsFor, proofFor } from './delegation.ts';
import { endLease, endTask, waitAtMost } from './end.ts';
import { identifyActor, newTaskToken } from './identify.ts';
import { committed } from './lease.ts';
import { mintLease } from './mint.ts';
import { confirmationOf } from './possession.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import { repeatTask } from './repeat.ts';
import { type Seal, sealFor } from './seal.ts';
import type { LiveTarget } from './targets.ts';
import type { Caller, IssuedCredential, OpenedTask, OpenTask } from './verbs.ts';

const REQUEST = 'open-task';
const NO_CLAIMS: ReadonlySet<string> = new Set();

/**
 * Opens a task and issues its credentials: decide, commit the intent, mint, commit, hand out. Nothing is asked of a
 * provider before the commit of the intent (invariant 1); from there on every way out leaves leases that end.
 */
export async function openTask(
  broker: Broker,
  presenter: Caller,
  { actor, ...ask }: OpenTask,
): Promise<Result<OpenedTask, Refusal>> {
  const noTo = (caller: Caller) => (refusal: Refusal) =>
    refuse(broker, caller, { grant: ask.grant }, REQUEST, refusal);
  if (presenter.kind !== 'principal') {
    return noTo(presenter)({
      reason: 'not-allowed',
      detail: 'A task was asked for with the token of another task',
    });
  }
  const acting = actor === undefined ? ok(presenter) : await identifyActor(broker, presenter, actor);
  if (!acting.ok) return noTo(presenter)({ reason: 'unauthenticated', detail: acting.error });
  const caller = acting.value;
  const no = noTo(caller);
  const now = broker.runtime.now();
  const cnf = confirmationOf(caller);
  const requestDigest = digestJson({ ...ask, idempotencyKey: null, ...(cnf && { cnf }) } as unknown as Json);
  const idempotencyKey = idempotencyKeyOf(caller, ask.idempotencyKey);

  const earlier =
    idempotencyKey === null ? null : await taskByIdempotencyKey(broker.database, idempotencyKey);
  if (earlier !== null) return repeatTask(broker, caller, earlier, requestDigest);

  const permission = await permit(broker, caller, ask, now);
  if (!permission.ok) return no(permission.error);
  const { decision, taskGrant } = permission.value;

  const admission = admit(broker, decision.credentials, now);
  if (!admission.ok) return no(admission.error);

  const seal = ask.publicKey === null ? ok(null) : await sealFor(ask.publicKey);
  if (!seal.ok) return no({ reason: 'invalid-request', detail: seal.error });

  const id = newId(broker.runtime);
  const { token, hash } = newTaskToken(broker.runtime, id);
  const { principal } = caller;
  const task: TaskRow = {
    id,
    version: 1,
    state: 'open',
    grant: decision.grant,
    grantVersion: decision.grantVersion,
    taskGrantId: taskGrant?.id ?? null,
    name: ask.task,
    purpose: ask.purpose,
    parameters: decision.parameters,
    issuer: principal.issuer,
    subject: principal.subject,
    principal,
    tokenHash: hash,
    cnf,
    sealedToken: seal.value === null ? null : await seal.value(token),
    publicKey: ask.publicKey,
    idempotencyKey,
    requestDigest,
    openedAt: now,
    expiresAt: now + 1000 * Math.max(...decision.credentials.map((c) => c.capSeconds)),
    heartbeatSeconds: decision.heartbeatSeconds,
    heartbeatDueAt: decision.heartbeatSeconds === null ? null : now + decision.heartbeatSeconds * 1000,
    endedAt: null,
    endReason: null,
    exitStatus: null,
  };
  const leases = decision.credentials.map((credential) => intend(broker, task, credential, decision, now));
  const redacted = <T extends { readonly claims: Json }>(of: T) => ({
    ...of,
    claims: redactClaims(of.claims, broker.sensitiveClaims ?? NO_CLAIMS),
  });
  const intent = await broker.committer.commit({
    newTask: task,
    newLeases: leases,
    quotas: quotasOf(decision, leases.length, taskGrant),
    ...evidenceOf(caller, idempotencyKey ?? id),
    events: [
      {
        kind: 'task.opened',
        actor: actorOf(caller),
        about: aboutTask(task),
        data: {
          name: task.name,
          purpose: task.purpose,
          parameters: task.parameters,
          grantVersion: task.grantVersion,
          taskGrant: task.taskGrantId,
          claims: redacted(decision).claims,
          proof: proofFor(principal.proof),
          ...(decision.actors === undefined
            ? {}
            : { actors: actorsFor(principal, decision.actors).map(redacted) }),
          ...(cnf && { boundTo: { ...cnf } }),
          request: requestDigest,
        },
      },
      ...leases.map(intendedEvent),
    ],
  });
  if (!intent.ok) {
    if (intent.error === 'repeated' && idempotencyKey !== null) {
      const winner = await taskByIdempotencyKey(broker.database, idempotencyKey);
      if (winner !== null) return repeatTask(broker, caller, winner, requestDigest);
    }
    return no(conflictRefusal(intent.error));
  }

  const issued = await mintAll(broker, task, leases, admission.value, seal.value, (reason) =>
    endTask(broker, task.id, { reason, exitStatus: null, actor: { kind: 'system' } }),
  );
  if (!issued.ok) return no(issued.error);
  const isSealed = seal.value !== null;
  return ok({
    task,
    token: isSealed ? null : token,
    sealedToken: task.sealedToken,
    credentials: issued.value,
    repeated: false,
  });
}

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

/** Whether nothing more is done for a task. */
export function hasEnded(task: TaskRow, now: number): boolean {
  return (
    task.state === 'ended' ||
    task.expiresAt <= now ||
    (task.heartbeatDueAt ?? Number.POSITIVE_INFINITY) <= now
  );
}

/** What a task asked for when it was opened, to be decided again. */
export function askOf(task: TaskRow) {
  return {
    grant: task.grant,
    task: task.name,
    purpose: task.purpose,
    parameters: task.parameters,
    taskGrant: task.taskGrantId,
    credentials: null,
    ttlSeconds: null,
  };
}

/** Policy's answer to an ask, at this moment. Every way into minting and renewing goes through here. */
export async function permit(
  broker: Broker,
  caller: Caller,
  ask: Pick<
    OpenTask,
    'grant' | 'task' | 'purpose' | 'parameters' | 'credentials' | 'ttlSeconds' | 'taskGrant'
  >,
  now: number,
): Promise<Result<{ decision: Decision; taskGrant: TaskGrantRow | null }, Refusal>> {
  const denied = (detail: string) => err({ reason: 'not-allowed' as const, detail });
  const grant = broker.grants.get(ask.grant);
  if (grant === undefined) return denied(`grant: there is no grant "${ask.grant}"`);
  let taskGrant: TaskGrantRow | null = null;
  let cut: Cut | null = null;
  if (ask.taskGrant !== null) {
    taskGrant = await readTaskGrant(broker.database, ask.taskGrant);
    if (taskGrant === null || taskGrant.grant !== grant.name)
      return denied('task-grant: there is none for this grant');
    if (taskGrant.expiresAt <= now) return denied('task-grant: it has expired');
    cut = readCut(taskGrant.cut);
    if (cut === null) return denied('task-grant: its cut cannot be read');
  }
  const wish: Ask = {
    principal: principalOf(caller),
    task: ask.task,
    purpose: ask.purpose,
    parameters: ask.parameters,
    credentials: ask.credentials,
    ttlSeconds: ask.ttlSeconds,
    now,
  };
  const decision = decide(grant, cut, wish);
  if (!decision.ok) return denied(`${decision.error.reason}: ${decision.error.detail}`);
  return ok({ decision: decision.value, taskGrant });
}

/** The targets of these credentials, or a refusal before intent when one of them takes no more now. */
function admit(
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
    if (refusal?.why === 'open') {
      return err({
        reason: 'target-unavailable',
        detail: `"${name}" fails`,
        retryAfterMs: refusal.retryAfterMs,
      });
    }
    if (refusal?.why === 'full') {
      return err({
        reason: 'overloaded',
        detail: `"${name}" has no room`,
        retryAfterMs: refusal.retryAfterMs,
      });
    }
    targets.set(name, live);
  }
  return ok(targets);
}

function intend(
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
  };
}

function intendedEvent(lease: LeaseRow) {
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
async function mintAll(
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

function quotasOf(decision: Decision, leases: number, taskGrant: TaskGrantRow | null): readonly QuotaUse[] {
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
    ...(principal.actors ?? []).map((actor) => actor.proof?.singleUse),
    possession?.singleUse,
  ];
  const evidence = uses.flatMap((once) => (once ? [{ id: once.id, usedFor, keepUntil: once.until }] : []));
  return evidence.length === 0 ? {} : { evidence };
}

function idempotencyKeyOf(
  caller: Caller & { readonly kind: 'principal' },
  key: string | null,
): string | null {
  if (key === null) return null;
  const { issuer, subject, actors } = caller.principal;
  return digestJson([issuer, subject, ...(actors === undefined ? [] : [names(actors)]), key]);
}

export function conflictRefusal(conflict: 'version' | 'replayed' | 'repeated' | 'limit'): Refusal {
  switch (conflict) {
    case 'limit':
      return { reason: 'limit-reached', detail: 'A limit of the grant is reached', retryAfterMs: 10_000 };
    case 'replayed':
      return {
        reason: 'unauthenticated',
        detail: 'replayed: the evidence may be used once, and was used before',
      };
    case 'version':
      return { reason: 'in-progress', detail: 'The task was changed at the same time', retryAfterMs: 1_000 };
    case 'repeated':
      return { reason: 'in-progress', detail: 'The same request is being served', retryAfterMs: 1_000 };
  }
}
