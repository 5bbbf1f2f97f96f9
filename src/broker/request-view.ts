import { humansBehind, isIdentity } from '../approvals/person.ts';
import { courtFor, lapse, mayApprove, standing, tally } from '../approvals/request.ts';
import type { Person, RequestRow } from '../store/rows.ts';
import type { Broker } from './broker.ts';
import type { PrincipalCaller, RequestView } from './verbs.ts';

/** A request as people are shown it: from the broker's own knowledge alone. */
export function viewOf(broker: Broker, request: RequestRow): RequestView {
  const now = broker.runtime.now();
  const onBehalfOf = humansBehind(broker.people, request.requester);
  const rule = broker.grants.get(request.grant)?.approval ?? null;
  if (rule === null)
    return {
      request: lapse(request, now) ?? request,
      onBehalfOf,
      waitingStage: null,
      stages: [],
      automatic: null,
    };
  const court = courtFor(rule, broker.people, request.requester, request.ask, now);
  const { waiting, needed, automatic } = tally(court, request.requester, request.approvals);
  const state = standing(court, request, now);
  return { request: { ...request, state }, onBehalfOf, waitingStage: waiting, stages: needed, automatic };
}

/** Whether somebody may see a request: whoever asked, may approve it, or reads everything. */
export function maySee(broker: Broker, caller: PrincipalCaller, request: RequestRow): boolean {
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
export function personOf({ principal }: PrincipalCaller): Person {
  const { issuer, subject, claims, actors = [] } = principal;
  const party = (one: Person): Person => ({ issuer: one.issuer, subject: one.subject, claims: one.claims });
  return actors.length === 0
    ? { issuer, subject, claims }
    : { issuer, subject, claims, actors: actors.map(party) };
}
