import { humansBehind, isIdentity } from '../approvals/person.ts';
import {
  type Court,
  courtFor,
  isOpen,
  lapse,
  MAX_AHEAD_SECONDS,
  redeem,
  standing,
  type Tally,
  tally,
} from '../approvals/request.ts';
import type { NewEvent } from '../audit/event.ts';
import type { Decision } from '../grants/grant.ts';
import { instant } from '../instant.ts';
import { digestJson, type Json } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import type { Unit } from '../store/commit.ts';
import { countOpenRequests, lapsedRequests, openRequestFor, readRequest } from '../store/requests.ts';
import type { Person, RequestAsk, RequestRow } from '../store/rows.ts';
import { aboutRequest } from './about.ts';
import { actorOf, type Broker, names } from './broker.ts';
import { evidenceOf } from './intend.ts';
import { keptOut } from './kept-out.ts';
import { BLOCKED, type Refusal } from './refusal.ts';
import { personOf, viewOf } from './request-view.ts';
import type { OpenTask, PrincipalCaller } from './verbs.ts';

/** Requests of one identity that wait, or were approved for later: whoever approves is told of each, and is to find those of others. */
export const MAX_WAITING = 100;

/** What an opening may go on with: the decision, no wider than its approvers allow, and what its commit uses up. */
export interface Approved {
  readonly decision: Decision;
  readonly uses: Pick<Unit, 'newRequest' | 'changedRequest'>;
  readonly events: readonly NewEvent[];
}

/** One opening that asks for approval. */
interface Opening {
  readonly caller: PrincipalCaller;
  readonly decision: Decision;
  readonly court: Court;
  readonly asked: RequestAsk;
  readonly by: Person;
  readonly digest: string;
  readonly taskId: string;
  readonly now: number;
}

/**
 * Between policy's yes and the intent: where the grant asks for approval, an opening redeems a request that has it, or
 * makes one and waits. Asking again in the same words is asking for the same. The request is used up in the commit of
 * the intent, so that it opens one task. Where a condition approves, the request is made and used up in that commit.
 */
export async function approvalGate(
  broker: Broker,
  caller: PrincipalCaller,
  ask: OpenTask,
  decision: Decision,
  taskId: string,
): Promise<Result<Approved, Refusal>> {
  const rule = broker.grants.get(decision.grant)?.approval ?? null;
  const now = broker.runtime.now();
  const fault = startFault(ask.notBefore, rule !== null, now);
  if (fault !== null) return err({ reason: 'invalid-request', detail: fault });
  if (rule === null)
    return ask.request === undefined
      ? ok({ decision, uses: {}, events: [] })
      : denied('this grant asks for none: open without a request');
  const by = personOf(caller);
  const isKeptOut = await keptOut(broker);
  if (isKeptOut(by)) return err(BLOCKED);
  const asked = askedOf(ask, decision);
  const digest = digestOf(by, humansBehind(broker.people, by), decision.grant, asked);
  const court = courtFor(rule, broker.people, by, asked, now);
  const opening = { caller, decision, court, asked, by, digest, taskId, now };
  const named = ask.request !== undefined;
  const request = await (ask.request === undefined
    ? openRequestFor(broker.database, digest)
    : readRequest(broker.database, ask.request));
  if (named && (request === null || !isIdentity(request.requester, by)))
    return denied('there is no such request of his');
  if (request === null || (!named && !isOpen(request, now))) {
    if (request !== null) await expire(broker, request);
    return askAnew(broker, opening);
  }
  const approvals = request.approvals.filter((approval) => !isKeptOut(approval.by));
  return redeemNow(broker, opening, { ...request, approvals });
}

function denied(detail: string): Result<never, Refusal> {
  return err({ reason: 'not-allowed', detail: `approval: ${detail}` });
}

/** What is wrong with a start that is asked for; null when nothing is. */
function startFault(notBefore: number | undefined, isApproved: boolean, now: number): string | null {
  if (notBefore === undefined) return null;
  if (!isApproved) return 'Cannot fix a start where nobody approves: open the task when it is to start';
  return notBefore > now + MAX_AHEAD_SECONDS * 1000
    ? `Cannot fix a start so far ahead: ask at most ${MAX_AHEAD_SECONDS / 86_400} days before`
    : null;
}

/** Opens with a request that is there, or waits for it. */
async function redeemNow(
  broker: Broker,
  opening: Opening,
  request: RequestRow,
): Promise<Result<Approved, Refusal>> {
  const { court, decision, digest, by, taskId, now } = opening;
  if (isOpen(request, now) && digest === request.digest && standing(court, request, now) === 'pending')
    return awaiting(broker, request);
  const redeemed = redeem(court, request, { digest, by, taskId, now });
  if (!redeemed.ok) return denied(redeemed.error);
  const early = tooEarly(opening);
  if (early !== null) return err(early);
  const { ttlSeconds } = redeemed.value;
  return ok({
    decision: shortened(decision, ttlSeconds),
    uses: { changedRequest: redeemed.value.request },
    events: redeemedEvents(opening, request, redeemed.value),
  });
}

/** What says that an opening used a request up, and what it rests on: approvals, a condition, or both. */
function redeemedEvents(
  opening: Opening,
  request: RequestRow,
  { counted, automatic }: Pick<Tally, 'counted' | 'automatic'>,
): NewEvent[] {
  const { caller, digest, taskId } = opening;
  const about = aboutRequest(request);
  const redeemed: NewEvent = {
    kind: 'request.redeemed',
    actor: actorOf(caller),
    about: { ...about, task: taskId },
    data: {
      id: request.id,
      digest,
      approvals: counted.map(({ by, at }) => ({ issuer: by.issuer, subject: by.subject, at: instant(at) })),
    },
  };
  return [...automaticEvents(request, automatic, true), redeemed];
}

function automaticEvents(request: RequestRow, condition: string | null, complete: boolean): NewEvent[] {
  if (condition === null) return [];
  const { id, digest } = request;
  return [
    {
      kind: 'request.auto-approved',
      actor: { kind: 'system' },
      about: aboutRequest(request),
      data: { id, digest, condition, complete },
    },
  ];
}

/** The refusal of what was approved for later; null once its start has come. */
function tooEarly({ asked: { notBefore }, now }: Opening): Refusal | null {
  if (notBefore === undefined || now >= notBefore) return null;
  const detail = `It is approved from ${instant(notBefore)} on: open it then`;
  return { reason: 'too-early', detail, retryAfterMs: notBefore - now };
}

/** Asks for approval of exactly this, unless too much of his waits already; goes on at once where a condition gives it. */
async function askAnew(broker: Broker, opening: Opening): Promise<Result<Approved, Refusal>> {
  const { court, by, decision, taskId } = opening;
  const { waiting, counted, automatic } = tally(court, by, []);
  const complete = waiting === null;
  const request = newRequest(broker, opening, complete ? 'approved' : 'pending');
  const created = createdEvent(broker, opening, request);
  const early = tooEarly(opening);
  if (complete && early === null)
    return ok({
      decision,
      uses: { newRequest: { ...request, state: 'redeemed', taskId } },
      events: [created, ...redeemedEvents(opening, request, { counted, automatic })],
    });
  if ((await countOpenRequests(broker.database, by, opening.now, MAX_WAITING)) >= MAX_WAITING)
    return err({
      reason: 'limit-reached',
      detail: `approval: ${MAX_WAITING} requests of this identity wait already`,
      retryAfterMs: 60_000,
    });
  const made = await broker.committer.commit({
    newRequest: request,
    ...evidenceOf(opening.caller, request.id),
    events: [created, ...automaticEvents(request, automatic, complete)],
  });
  if (made.ok) return complete && early !== null ? err(early) : awaiting(broker, request);
  if (made.error === 'replayed')
    return err({ reason: 'unauthenticated', detail: 'replayed: the evidence was used before' });
  return err({ reason: 'in-progress', detail: 'The same was asked at the same time', retryAfterMs: 1_000 });
}

/** What was approved for later lapses as long after its start. */
function newRequest(
  broker: Broker,
  { by, asked, decision, digest, court, now }: Opening,
  state: 'pending' | 'approved',
): RequestRow {
  return {
    id: newId(broker.runtime),
    version: 1,
    state,
    digest,
    grant: decision.grant,
    issuer: by.issuer,
    subject: by.subject,
    ask: asked,
    requester: by,
    approvals: [],
    createdAt: now,
    expiresAt: Math.max(now, asked.notBefore ?? now) + court.rule.lapseSeconds * 1000,
    reason: null,
    taskId: null,
  };
}

function createdEvent(broker: Broker, { caller, by, asked, digest }: Opening, request: RequestRow): NewEvent {
  return {
    kind: 'request.created',
    actor: actorOf(caller),
    about: aboutRequest(request),
    data: {
      id: request.id,
      digest,
      ask: asked as unknown as Json,
      onBehalfOf: [...humansBehind(broker.people, by)],
      expiresAt: instant(request.expiresAt),
    },
  };
}

function awaiting(broker: Broker, request: RequestRow): Result<never, Refusal> {
  return err({ reason: 'awaiting-approval', detail: 'It waits for approval', view: viewOf(broker, request) });
}

/** Gives up a request whose time is up. */
async function expire(broker: Broker, request: RequestRow): Promise<void> {
  const expired = lapse(request, broker.runtime.now());
  if (expired === null) return;
  await broker.committer.commit({
    changedRequest: expired,
    events: [
      {
        kind: 'request.expired',
        actor: { kind: 'system' },
        about: aboutRequest(request),
        data: { id: request.id },
      },
    ],
  });
}

/** Gives up requests whose time is up. Until then they count as expired all the same. */
export async function expireRequests(broker: Broker, limit: number): Promise<void> {
  const lapsed = await lapsedRequests(broker.database, broker.runtime.now(), limit);
  await Promise.all(lapsed.map((request) => expire(broker, request)));
}

/** Exactly what is asked, as policy reads it at this version of the grant: an edit of either is another request. */
function askedOf(ask: OpenTask, { grantVersion, parameters, credentials }: Decision): RequestAsk {
  return {
    task: ask.task,
    purpose: ask.purpose,
    ...(ask.ticket === undefined ? {} : { ticket: ask.ticket }),
    ...(ask.practice === undefined ? {} : { practice: ask.practice }),
    ...(ask.notBefore === undefined ? {} : { notBefore: ask.notBefore }),
    parameters,
    grantVersion,
    taskGrant: ask.taskGrant,
    credentials: credentials.map(({ name, target, scope, ttlSeconds, capSeconds }) => ({
      name,
      target,
      scope,
      ttlSeconds,
      capSeconds,
    })),
  };
}

/**
 * What an approval is bound to: who asks, for which humans, and what. Jobs of one identity may be triggered by many, and
 * what was approved for one of them is not for the others: one of these may be who approved it.
 */
function digestOf(by: Person, behind: readonly string[], grant: string, asked: RequestAsk): string {
  const humans = behind.length === 0 ? [] : [[...behind].sort()];
  const actors = names(by.actors ?? []);
  return digestJson([by.issuer, by.subject, actors, grant, asked as unknown as Json, ...humans]);
}

/** Approvers may shorten: what is issued, and how far renewals carry it. */
function shortened(decision: Decision, bound: number | null): Decision {
  if (bound === null) return decision;
  return {
    ...decision,
    credentials: decision.credentials.map((credential) => ({
      ...credential,
      ttlSeconds: Math.min(credential.ttlSeconds, bound),
      capSeconds: Math.min(credential.capSeconds, bound),
    })),
  };
}
