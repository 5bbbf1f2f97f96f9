import { conditionInput } from '../grants/condition.ts';
import type { ApprovalRule, ConditionInput, Human } from '../grants/grant.ts';
import { matchesPrincipal } from '../grants/principal.ts';
import { err, ok, type Result } from '../result.ts';
import type { Approval, Person, RequestAsk, RequestRow } from '../store/rows.ts';
import { asPrincipal, isIdentity, isSame } from './person.ts';

/** How far ahead a start may be asked for: as long as an approval may wait, at the longest. */
export const MAX_AHEAD_SECONDS = 604_800;

/**
 * A request is `pending` until its last stage has its approvals, and then `approved`; it is `redeemed` by the task that
 * it opens. Until then one denial makes it `denied`, whoever asked may make it `cancelled`, and time makes it `expired`.
 * These three and `redeemed` are for good. Nothing here trusts what was decided before: whether a request is approved
 * is counted anew from its approvals and the rule's conditions, each time that it matters, by the rule as it is then.
 * `pending` and `approved` in a row say only how it stood when it was last changed.
 */
const OPEN: readonly RequestRow['state'][] = ['pending', 'approved'];

/** What decides besides the request: the rule in force, who is who, and what conditions see. */
export interface Court {
  readonly rule: ApprovalRule;
  readonly people: readonly Human[];
  readonly input: ConditionInput;
}

/** The court for an ask: with the requester as he was last proven. */
export function courtFor(
  rule: ApprovalRule,
  people: readonly Human[],
  requester: Person,
  ask: RequestAsk,
  now: number,
): Court {
  const asker = { ...requester, actors: requester.actors ?? [] };
  return { rule, people, input: conditionInput(asker, { ...ask, ticket: ask.ticket ?? null }, now) };
}

/** Whether a request still leads anywhere. One whose time is up does not, whatever its row says yet. */
export function isOpen(request: RequestRow, now: number): boolean {
  return OPEN.includes(request.state) && now < request.expiresAt;
}

/** How far approvals have come: the stage that waits, null when none does, and the longest lifetime that all allow. */
export interface Tally {
  readonly waiting: number | null;
  readonly counted: readonly Approval[];
  readonly ttlSeconds: number | null;
  /** The condition that stands for all stages without a condition of their own; null when none holds. */
  readonly automatic: string | null;
  /** How many approvals each stage takes; 0 where a condition says that it takes none. */
  readonly needed: readonly number[];
}

/**
 * Counts approvals in their order, stage after stage. One counts when its giver may approve at the stage that waits,
 * is not whoever asked, and has not been counted before: by no identity that is his. Conditions are evaluated anew. One
 * that fails approves nothing by itself, and demands its stage.
 */
export function tally(court: Court, requester: Person, approvals: readonly Approval[]): Tally {
  const { rule, people } = court;
  const { automatic, needed } = demands(court);
  const counted: Approval[] = [];
  let stage = 0;
  let here = 0;
  const goOn = () => {
    for (; stage < needed.length && here >= (needed[stage] ?? 0); stage++) here = 0;
  };
  goOn();
  for (const approval of approvals) {
    const from = rule.stages[stage]?.from;
    if (from === undefined) break;
    const isNew = ![requester, ...counted.map(({ by }) => by)].some((one) =>
      isSame(people, one, approval.by),
    );
    if (!isNew || !from.some((matcher) => matchesPrincipal(matcher, asPrincipal(approval.by)))) continue;
    counted.push(approval);
    here++;
    goOn();
  }
  // Where nobody is asked and no condition approves, nothing has been approved.
  const nobody = automatic === null && counted.length === 0;
  const bounds = counted.flatMap(({ ttlSeconds }) => (ttlSeconds === null ? [] : [ttlSeconds]));
  return {
    waiting: stage < needed.length ? stage : nobody ? 0 : null,
    counted,
    ttlSeconds: bounds.length === 0 ? null : Math.min(...bounds),
    automatic,
    needed,
  };
}

function demands({ rule, input }: Court): Pick<Tally, 'automatic' | 'needed'> {
  const holds = rule.autoApprove.find((condition) => condition.holds(input).holds);
  const needed = rule.stages.map(({ approvals, when }) => {
    if (when === null) return holds === undefined ? approvals : 0;
    const answer = when.holds(input);
    return answer.holds || answer.error !== null ? approvals : 0;
  });
  return { automatic: holds?.expression ?? null, needed };
}

/** How a request stands now, whatever its row says of before. */
export function standing(court: Court, request: RequestRow, now: number): RequestRow['state'] {
  if (!isOpen(request, now)) return lapse(request, now)?.state ?? request.state;
  return tally(court, request.requester, request.approvals).waiting === null ? 'approved' : 'pending';
}

/** The request with one more approval of exactly what `digest` names. */
export function approve(
  court: Court,
  request: RequestRow,
  approval: Approval,
  digest: string,
): Result<RequestRow, string> {
  const state = standing(court, request, approval.at);
  if (state !== 'pending') return err(`it is ${state}`);
  if (digest !== request.digest) return err('what was approved is not what was asked');
  if (isSame(court.people, request.requester, approval.by)) return err('nobody approves his own request');
  if (approval.by.actors !== undefined) return err('nobody approves through another');
  const before = tally(court, request.requester, request.approvals);
  const approvals = [...before.counted, approval];
  const after = tally(court, request.requester, approvals);
  if (after.counted.length === before.counted.length)
    return err('he may not approve at the stage that waits, or has approved before');
  return ok({ ...request, approvals, state: after.waiting === null ? 'approved' : 'pending' });
}

/** The request denied by somebody who may approve at any of its stages. One is enough. */
export function deny(
  { rule, people }: Pick<Court, 'rule' | 'people'>,
  request: RequestRow,
  by: Person,
  reason: string,
  now: number,
): Result<RequestRow, string> {
  if (!isOpen(request, now)) return err(`it is ${request.state}`);
  if (isSame(people, request.requester, by)) return err('whoever asked cancels, and does not deny');
  if (!mayApprove(rule, by)) return err('he may not approve it either');
  return ok({ ...request, state: 'denied', reason });
}

/** The request taken back. Whose right that is, the caller has checked. */
export function cancel(request: RequestRow, reason: string, now: number): Result<RequestRow, string> {
  return isOpen(request, now)
    ? ok({ ...request, state: 'cancelled', reason })
    : err(`it is ${request.state}`);
}

/** The request once its time is up; null while it is not, or where it has come to its end before. */
export function lapse(request: RequestRow, now: number): RequestRow | null {
  return OPEN.includes(request.state) && now >= request.expiresAt ? { ...request, state: 'expired' } : null;
}

/**
 * The request used up for the task, with the longest lifetime that its approvers allow. What is opened must be what
 * was asked, for whoever asked, and the approvals must still count by the rule as it is now.
 */
export function redeem(
  court: Court,
  request: RequestRow,
  opening: { readonly digest: string; readonly by: Person; readonly taskId: string; readonly now: number },
): Result<Pick<Tally, 'counted' | 'ttlSeconds' | 'automatic'> & { readonly request: RequestRow }, string> {
  if (!isOpen(request, opening.now)) return err(`it is ${standing(court, request, opening.now)}`);
  if (opening.digest !== request.digest) return err('what is opened is not what was approved');
  if (!isIdentity(request.requester, opening.by)) return err('somebody else asked');
  const { waiting, ...rest } = tally(court, request.requester, request.approvals);
  if (waiting !== null) return err('it lacks an approval that counts');
  return ok({ ...rest, request: { ...request, state: 'redeemed', taskId: opening.taskId } });
}

/** Whether somebody may approve at any stage. */
export function mayApprove(rule: ApprovalRule, by: Person): boolean {
  return rule.stages.some(({ from }) => from.some((matcher) => matchesPrincipal(matcher, asPrincipal(by))));
}
