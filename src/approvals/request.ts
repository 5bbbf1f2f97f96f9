import type { ApprovalRule, Human } from '../grants/grant.ts';
import { matchesPrincipal } from '../grants/principal.ts';
import type { Principal } from '../identity/attestor.ts';
import { err, ok, type Result } from '../result.ts';
import type { Approval, Person, RequestRow } from '../store/rows.ts';

/**
 * A request is `pending` until its last stage has its approvals, and then `approved`; it is `redeemed` by the task that
 * it opens. Until then one denial makes it `denied`, whoever asked may make it `cancelled`, and time makes it `expired`.
 * These three and `redeemed` are for good. Nothing here trusts what was decided before: whether a request is approved
 * is counted anew from its approvals, each time that it matters, against the rule as it is by then.
 */
const OPEN: readonly RequestRow['state'][] = ['pending', 'approved'];

/** What decides besides the request: the rule in force, and who is who. */
export interface Court {
  readonly rule: ApprovalRule;
  readonly people: readonly Human[];
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
}

/**
 * Counts approvals in their order, stage after stage. One counts when its giver may approve at the stage that waits,
 * is not whoever asked, and has not been counted before: by no identity that is his.
 */
export function tally({ rule, people }: Court, requester: Person, approvals: readonly Approval[]): Tally {
  const counted: Approval[] = [];
  let waiting = 0;
  let here = 0;
  for (const approval of approvals) {
    const stage = rule.stages[waiting];
    if (stage === undefined) break;
    const isNew = ![requester, ...counted.map(({ by }) => by)].some((one) =>
      isSame(people, one, approval.by),
    );
    if (!isNew || !stage.from.some((matcher) => matchesPrincipal(matcher, asPrincipal(approval.by))))
      continue;
    counted.push(approval);
    here++;
    if (here < stage.approvals) continue;
    waiting++;
    here = 0;
  }
  const bounds = counted.flatMap(({ ttlSeconds }) => (ttlSeconds === null ? [] : [ttlSeconds]));
  return {
    waiting: waiting < rule.stages.length ? waiting : null,
    counted,
    ttlSeconds: bounds.length === 0 ? null : Math.min(...bounds),
  };
}

/** The request with one more approval of exactly what `digest` names. */
export function approve(
  court: Court,
  request: RequestRow,
  approval: Approval,
  digest: string,
): Result<RequestRow, string> {
  if (request.state !== 'pending' || !isOpen(request, approval.at)) return err(`it is ${request.state}`);
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
  { rule, people }: Court,
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
): Result<{ readonly request: RequestRow; readonly ttlSeconds: number | null }, string> {
  if (request.state !== 'approved' || !isOpen(request, opening.now)) return err(`it is ${request.state}`);
  if (opening.digest !== request.digest) return err('what is opened is not what was approved');
  if (!isIdentity(request.requester, opening.by)) return err('somebody else asked');
  const { waiting, ttlSeconds } = tally(court, request.requester, request.approvals);
  if (waiting !== null) return err('an approver may no longer approve');
  return ok({ request: { ...request, state: 'redeemed', taskId: opening.taskId }, ttlSeconds });
}

/** Whether somebody may approve at any stage. */
export function mayApprove(rule: ApprovalRule, by: Person): boolean {
  return rule.stages.some(({ from }) => from.some((matcher) => matchesPrincipal(matcher, asPrincipal(by))));
}

/** The humans that an identity is or acts for. */
export function humansBehind(people: readonly Human[], person: Person): readonly string[] {
  return people
    .filter(({ who }) =>
      faces(person).some((face) => who.some((matcher) => matchesPrincipal(matcher, asPrincipal(face)))),
    )
    .map(({ name }) => name);
}

export function isIdentity(a: Person, b: Person): boolean {
  return a.issuer === b.issuer && a.subject === b.subject;
}

/** Whether two identities are or act for the same human. */
function isSame(people: readonly Human[], a: Person, b: Person): boolean {
  const behind = humansBehind(people, b);
  return (
    faces(a).some((one) => faces(b).some((other) => isIdentity(one, other))) ||
    humansBehind(people, a).some((name) => behind.includes(name))
  );
}

/** An identity and whoever acts for it. */
function faces(person: Person): readonly Person[] {
  return [person, ...(person.actors ?? [])];
}

/** Matching looks at issuer and claims alone. */
function asPrincipal({ issuer, subject, claims }: Person): Principal {
  return { issuer, subject, claims, proof: { method: 'stored', evidenceHash: '', expiresAt: 0 } };
}
