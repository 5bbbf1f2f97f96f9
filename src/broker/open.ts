import type { NewEvent } from '../audit/event.ts';
import { redactClaims } from '../audit/redact.ts';
import type { Decision } from '../grants/grant.ts';
import { digestJson, type Json } from '../json.ts';
import { ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import type { TaskRow } from '../store/rows.ts';
import { taskByIdempotencyKey } from '../store/tasks.ts';
import { aboutTask, marked } from './about.ts';
import { approvalGate } from './approval.ts';
import { breakGlassGate, useOf } from './break-glass.ts';
import { actorOf, type Broker, names } from './broker.ts';
import { actorsFor, proofFor } from './delegation.ts';
import { endTask } from './end.ts';
import { identifyActor, newTaskToken } from './identify.ts';
import { admit, evidenceOf, intend, intendedEvent, mintAll, quotasOf } from './intend.ts';
import { conflictRefusal, permit } from './permit.ts';
import { confirmationOf } from './possession.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import { repeatTask } from './repeat.ts';
import { sealFor } from './seal.ts';
import type { Caller, OpenedTask, OpenTask, PrincipalCaller } from './verbs.ts';

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
    refuse(broker, caller, { grant: ask.grant, ...marked(ask.practice) }, REQUEST, refusal);
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
  const { taskGrant } = permission.value;

  const glass = await breakGlassGate(broker, caller, ask, now);
  if (!glass.ok) return no(glass.error);
  const id = newId(broker.runtime);
  const approval = await approvalGate(broker, caller, ask, permission.value.decision, id);
  if (!approval.ok) return approval.error.reason === 'awaiting-approval' ? approval : no(approval.error);
  const { decision, uses, events } = approval.value;

  // A rehearsal is all but this: no lease is intended, so none can be minted.
  const wanted = ask.practice ? [] : decision.credentials;
  const admission = admit(broker, wanted, now);
  if (!admission.ok) return no(admission.error);

  const seal = ask.publicKey === null ? ok(null) : await sealFor(ask.publicKey);
  if (!seal.ok) return no({ reason: 'invalid-request', detail: seal.error });

  const { token, hash } = newTaskToken(broker.runtime, id);
  const task: TaskRow = {
    ...newTask(caller, ask, decision, id, now),
    taskGrantId: taskGrant?.id ?? null,
    tokenHash: hash,
    sealedToken: seal.value === null ? null : await seal.value(token),
    idempotencyKey,
    requestDigest,
  };
  const used = useOf(
    broker,
    caller,
    task,
    decision,
    glass.value,
    (uses.newRequest ?? uses.changedRequest)?.id ?? null,
  );
  const leases = wanted.map((credential) => intend(broker, task, credential, decision, now));
  const intent = await broker.committer.commit({
    newTask: task,
    newLeases: leases,
    quotas: quotasOf(decision, leases.length, taskGrant),
    ...evidenceOf(caller, idempotencyKey ?? id),
    ...uses,
    ...used.unit,
    events: [
      ...events,
      openedEvent(broker, caller, task, decision),
      ...used.events,
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

type NewTask = Omit<
  TaskRow,
  'taskGrantId' | 'tokenHash' | 'sealedToken' | 'idempotencyKey' | 'requestDigest'
>;

function newTask(
  caller: PrincipalCaller,
  ask: Pick<OpenTask, 'task' | 'purpose' | 'ticket' | 'practice' | 'publicKey'>,
  decision: Decision,
  id: string,
  now: number,
): NewTask {
  const { principal } = caller;
  const { heartbeatSeconds } = decision;
  return {
    id,
    version: 1,
    state: 'open',
    grant: decision.grant,
    grantVersion: decision.grantVersion,
    name: ask.task,
    purpose: ask.purpose,
    ticket: ask.ticket ?? null,
    practice: ask.practice ?? false,
    parameters: decision.parameters,
    issuer: principal.issuer,
    subject: principal.subject,
    principal,
    cnf: confirmationOf(caller),
    publicKey: ask.publicKey,
    openedAt: now,
    expiresAt: now + 1000 * Math.max(...decision.credentials.map((c) => c.capSeconds)),
    heartbeatSeconds,
    heartbeatDueAt: heartbeatSeconds === null ? null : now + heartbeatSeconds * 1000,
    endedAt: null,
    endReason: null,
    exitStatus: null,
  };
}

/** What the log says of an opening: who, what, why, and on which claims it rests. */
function openedEvent(broker: Broker, caller: PrincipalCaller, task: TaskRow, decision: Decision): NewEvent {
  const { principal } = caller;
  const redacted = <T extends { readonly claims: Json }>(of: T) => ({
    ...of,
    claims: redactClaims(of.claims, broker.sensitiveClaims ?? NO_CLAIMS),
  });
  return {
    kind: 'task.opened',
    actor: actorOf(caller),
    about: aboutTask(task),
    data: {
      name: task.name,
      purpose: task.purpose,
      ...(task.ticket === null ? {} : { ticket: task.ticket }),
      parameters: task.parameters,
      grantVersion: task.grantVersion,
      taskGrant: task.taskGrantId,
      claims: redacted(decision).claims,
      proof: proofFor(principal.proof),
      ...(decision.actors === undefined
        ? {}
        : { actors: actorsFor(principal, decision.actors).map(redacted) }),
      ...(task.cnf && { boundTo: { ...task.cnf } }),
      request: task.requestDigest,
    },
  };
}

function idempotencyKeyOf(caller: PrincipalCaller, key: string | null): string | null {
  if (key === null) return null;
  const { issuer, subject, actors } = caller.principal;
  return digestJson([issuer, subject, ...(actors === undefined ? [] : [names(actors)]), key]);
}
