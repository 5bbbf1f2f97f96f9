import { isIdentity } from '../approvals/person.ts';
import { approve, cancel, courtFor, deny } from '../approvals/request.ts';
import type { NewEvent } from '../audit/event.ts';
import { ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import { openRequests, readRequest as readRequestRow } from '../store/requests.ts';
import type { RequestRow } from '../store/rows.ts';
import { aboutRequest } from './about.ts';
import { disclose } from './authorize.ts';
import { actorOf, type Broker } from './broker.ts';
import { evidenceOf } from './intend.ts';
import { keptOut } from './kept-out.ts';
import { committed } from './lease.ts';
import { BLOCKED, type Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import { maySee, personOf, viewOf } from './request-view.ts';
import { changedMeanwhile } from './task.ts';
import type { ApproveAsk, Caller, PrincipalCaller, RequestView } from './verbs.ts';

/** Requests that one answer shows. */
const MAX_SHOWN = 500;

/** Requests that wait or were approved, as far as the caller may see them. The log says who is shown what others ask for. */
export async function listRequests(
  broker: Broker,
  caller: Caller,
): Promise<Result<readonly RequestView[], Refusal>> {
  if (caller.kind !== 'principal') return noSuch(broker, caller, 'list-requests');
  const rows = (await openRequests(broker.database, MAX_SHOWN)).filter((row) => maySee(broker, caller, row));
  const strange = rows.filter((row) => !isIdentity(row.requester, personOf(caller)));
  const others = strange.length === 0 ? null : { requests: strange.length };
  const shown = await disclose(broker, caller, 'requests', others);
  if (!shown.ok) return shown;
  return ok(rows.map((row) => viewOf(broker, row)));
}

export async function readRequest(
  broker: Broker,
  caller: Caller,
  id: string,
): Promise<Result<RequestView, Refusal>> {
  const seen = await see(broker, caller, id, 'read-request');
  if (!seen.ok) return seen;
  const { request, human } = seen.value;
  const isOwn = isIdentity(request.requester, personOf(human));
  const shown = await disclose(broker, human, 'request', isOwn ? null : { id });
  return shown.ok ? ok(viewOf(broker, request)) : shown;
}

/** One approval, of exactly what the approver saw, for at most as long as he says. */
export async function approveRequest(
  broker: Broker,
  caller: Caller,
  id: string,
  ask: ApproveAsk,
): Promise<Result<RequestView, Refusal>> {
  return change(broker, caller, id, 'approve-request', (request, human) => {
    const rule = broker.grants.get(request.grant)?.approval;
    if (!rule) return { ok: false, error: 'its grant asks for no approval' };
    const at = broker.runtime.now();
    const approval = { by: personOf(human), at, ttlSeconds: ask.ttlSeconds };
    const court = courtFor(rule, broker.people, request.requester, request.ask, at);
    const approved = approve(court, request, approval, ask.digest);
    if (!approved.ok) return approved;
    const complete = approved.value.state === 'approved';
    const { ttlSeconds } = ask;
    const data = { id, digest: ask.digest, ttlSeconds, complete };
    return ok({ changed: approved.value, event: { kind: 'request.approved', data } });
  });
}

export async function denyRequest(
  broker: Broker,
  caller: Caller,
  id: string,
  reason: string,
): Promise<Result<RequestView, Refusal>> {
  return change(broker, caller, id, 'deny-request', (request, human) => {
    const rule = broker.grants.get(request.grant)?.approval;
    if (!rule) return { ok: false, error: 'its grant asks for no approval' };
    const court = { rule, people: broker.people };
    const denied = deny(court, request, personOf(human), reason, broker.runtime.now());
    return denied.ok
      ? ok({ changed: denied.value, event: { kind: 'request.denied', data: { id, reason } } })
      : denied;
  });
}

/** Taken back by whoever asked, or by an operator. */
export async function cancelRequest(
  broker: Broker,
  caller: Caller,
  id: string,
  reason: string,
): Promise<Result<RequestView, Refusal>> {
  return change(broker, caller, id, 'cancel-request', (request, human) => {
    if (!isIdentity(request.requester, personOf(human)) && !human.roles.has('operator'))
      return { ok: false, error: 'somebody else asked' };
    const cancelled = cancel(request, reason, broker.runtime.now());
    return cancelled.ok
      ? ok({ changed: cancelled.value, event: { kind: 'request.cancelled', data: { id, reason } } })
      : cancelled;
  });
}

type Told = Extract<NewEvent, { readonly kind: `request.${'approved' | 'denied' | 'cancelled'}` }>;
type Change = { readonly changed: RequestRow; readonly event: Pick<Told, 'kind' | 'data'> };

async function change(
  broker: Broker,
  caller: Caller,
  id: string,
  what: string,
  decide: (request: RequestRow, human: PrincipalCaller) => Result<Change, string>,
): Promise<Result<RequestView, Refusal>> {
  const seen = await see(broker, caller, id, what);
  if (!seen.ok) return seen;
  const { request, human } = seen.value;
  const isKeptOut = await keptOut(broker);
  if (isKeptOut(personOf(human))) return refuse(broker, caller, aboutRequest(request), what, BLOCKED);
  const approvals = request.approvals.filter((approval) => !isKeptOut(approval.by));
  const decided = decide({ ...request, approvals }, human);
  if (!decided.ok) {
    const detail = `request: ${decided.error}`;
    return refuse(broker, caller, aboutRequest(request), what, { reason: 'not-allowed', detail });
  }
  const event = {
    ...decided.value.event,
    actor: actorOf(caller),
    about: aboutRequest(request),
  } as NewEvent;
  const after = await commitRequest(broker, decided.value.changed, human, event);
  if (after === null) return changedMeanwhile(broker, caller, aboutRequest(request), what);
  return ok(viewOf(broker, after));
}

/** The request, for somebody who may see it. One answer for what does not exist and what is not his to see. */
async function see(
  broker: Broker,
  caller: Caller,
  id: string,
  what: string,
): Promise<Result<{ readonly request: RequestRow; readonly human: PrincipalCaller }, Refusal>> {
  const request = await readRequestRow(broker.database, id);
  if (caller.kind !== 'principal' || request === null || !maySee(broker, caller, request))
    return noSuch(broker, caller, what);
  return ok({ request, human: caller });
}

function noSuch(broker: Broker, caller: Caller, what: string) {
  return refuse(broker, caller, {}, what, {
    reason: 'not-found',
    detail: "There is no such request, or it is not the caller's to see",
  });
}

/** The request after a change, once it is durable; null when somebody else changed it first. */
async function commitRequest(
  broker: Broker,
  changed: RequestRow,
  caller: PrincipalCaller,
  event: NewEvent,
): Promise<RequestRow | null> {
  const result = await broker.committer.commit({
    changedRequest: changed,
    ...evidenceOf(caller, newId(broker.runtime)),
    events: [event],
  });
  return result.ok ? committed(changed) : null;
}
