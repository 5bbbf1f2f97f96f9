import { humansBehind, isIdentity, isOpen, lapse, mayApprove, redeem, tally } from '../approvals/request.ts';
import type { NewEvent } from '../audit/event.ts';
import type { Decision } from '../grants/grant.ts';
import { digestJson, type Json } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import type { Unit } from '../store/commit.ts';
import { lapsedRequests, openRequestFor, readRequest } from '../store/requests.ts';
import type { Person, RequestAsk, RequestRow } from '../store/rows.ts';
import { actorOf, type Broker, instant, names } from './broker.ts';
import { evidenceOf } from './intend.ts';
import { committed } from './lease.ts';
import type { Refusal } from './refusal.ts';
import type { Caller, OpenTask, RequestView } from './verbs.ts';

/** What an opening may go on with: the decision, no wider than its approvers allow, and what its commit uses up. */
export interface Approved {
  readonly decision: Decision;
  readonly uses: Pick<Unit, 'changedRequest'>;
  readonly events: readonly NewEvent[];
}

/**
 * Between policy's yes and the intent: where the grant asks for approval, an opening redeems a request that has it, or
 * makes one and waits. Asking again in the same words is asking for the same. The request is used up in the commit of
 * the intent, so that it opens one task.
 */
export async function approvalGate(
  broker: Broker,
  caller: Caller & { readonly kind: 'principal' },
  ask: OpenTask,
  decision: Decision,
  taskId: string,
): Promise<Result<Approved, Refusal>> {
  const rule = broker.grants.get(decision.grant)?.approval;
  const denied = (detail: string) => err({ reason: 'not-allowed' as const, detail: `approval: ${detail}` });
  if (!rule) {
    return ask.request === undefined
      ? ok({ decision, uses: {}, events: [] })
      : denied('this grant asks for none: open without a request');
  }
  const by = personOf(caller);
  const asked = askedOf(ask, decision);
  const actors = names(by.actors ?? []);
  const digest = digestJson([by.issuer, by.subject, actors, decision.grant, asked as unknown as Json]);
  const named = ask.request !== undefined;
  const request = await (ask.request === undefined
    ? openRequestFor(broker.database, digest)
    : readRequest(broker.database, ask.request));
  const now = broker.runtime.now();
  if (named && (request === null || !isIdentity(request.requester, by)))
    return denied('there is no such request of his');
  if (request === null || (!named && !isOpen(request, now))) {
    if (request !== null) await expire(broker, request);
    return makeRequest(broker, caller, decision.grant, asked, digest, rule.lapseSeconds);
  }
  if (request.state === 'pending' && isOpen(request, now)) return awaiting(broker, request);
  const court = { rule, people: broker.people };
  const redeemed = redeem(court, request, { digest, by, taskId, now });
  if (!redeemed.ok) return denied(redeemed.error);
  return ok({
    decision: shortened(decision, redeemed.value.ttlSeconds),
    uses: { changedRequest: redeemed.value.request },
    events: [
      {
        kind: 'request.redeemed',
        actor: actorOf(caller),
        about: { grant: request.grant, task: taskId },
        data: { id: request.id, digest },
      },
    ],
  });
}

/** Asks for approval of exactly this. */
async function makeRequest(
  broker: Broker,
  caller: Caller & { readonly kind: 'principal' },
  grant: string,
  ask: RequestAsk,
  digest: string,
  lapseSeconds: number,
): Promise<Result<never, Refusal>> {
  const { runtime } = broker;
  const now = runtime.now();
  const requester = personOf(caller);
  const request: RequestRow = {
    id: newId(runtime),
    version: 1,
    state: 'pending',
    digest,
    grant,
    issuer: requester.issuer,
    subject: requester.subject,
    ask,
    requester,
    approvals: [],
    createdAt: now,
    expiresAt: now + lapseSeconds * 1000,
    reason: null,
    taskId: null,
  };
  const made = await broker.committer.commit({
    newRequest: request,
    ...evidenceOf(caller, request.id),
    events: [
      {
        kind: 'request.created',
        actor: actorOf(caller),
        about: { grant },
        data: {
          id: request.id,
          digest,
          ask: ask as unknown as Json,
          onBehalfOf: [...humansBehind(broker.people, requester)],
          expiresAt: instant(request.expiresAt),
        },
      },
    ],
  });
  if (made.ok) return awaiting(broker, request);
  if (made.error === 'replayed')
    return err({ reason: 'unauthenticated', detail: 'replayed: the evidence was used before' });
  return err({ reason: 'in-progress', detail: 'The same was asked at the same time', retryAfterMs: 1_000 });
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
        about: { grant: request.grant },
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

/** A request as people are shown it: from the broker's own knowledge alone. */
export function viewOf(broker: Broker, request: RequestRow): RequestView {
  const rule = broker.grants.get(request.grant)?.approval ?? null;
  const court = rule === null ? null : { rule, people: broker.people };
  const count = court === null ? null : tally(court, request.requester, request.approvals);
  return {
    request: lapse(request, broker.runtime.now()) ?? request,
    onBehalfOf: humansBehind(broker.people, request.requester),
    waitingStage: count === null ? null : count.waiting,
    stages: rule?.stages.map(({ approvals }) => approvals) ?? [],
  };
}

/** Whether somebody may see a request: whoever asked, may approve it, or reads everything. */
export function maySee(
  broker: Broker,
  caller: Caller & { readonly kind: 'principal' },
  request: RequestRow,
): boolean {
  const rule = broker.grants.get(request.grant)?.approval;
  const by = personOf(caller);
  return (
    caller.roles.has('operator') ||
    caller.roles.has('auditor') ||
    isIdentity(request.requester, by) ||
    (!!rule && mayApprove(rule, by))
  );
}

/** Who asks or approves, with whoever acts for him: all of them are barred from approving what he asks. */
export function personOf({ principal }: Caller & { readonly kind: 'principal' }): Person {
  const { issuer, subject, claims, actors = [] } = principal;
  const party = (one: Person): Person => ({ issuer: one.issuer, subject: one.subject, claims: one.claims });
  return actors.length === 0
    ? { issuer, subject, claims }
    : { issuer, subject, claims, actors: actors.map(party) };
}

/** Exactly what is asked, as policy reads it at this version of the grant: an edit of either is another request. */
function askedOf(ask: OpenTask, { grantVersion, parameters, credentials }: Decision): RequestAsk {
  return {
    task: ask.task,
    purpose: ask.purpose,
    ...(ask.ticket === undefined ? {} : { ticket: ask.ticket }),
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

/** The request after a change, once it is durable; null when somebody else changed it first. */
export async function commitRequest(
  broker: Broker,
  changed: RequestRow,
  caller: Caller & { readonly kind: 'principal' },
  event: NewEvent,
): Promise<RequestRow | null> {
  const result = await broker.committer.commit({
    changedRequest: changed,
    ...evidenceOf(caller, newId(broker.runtime)),
    events: [event],
  });
  return result.ok ? committed(changed) : null;
}
