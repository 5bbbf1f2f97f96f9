import { humansBehind } from '../approvals/person.ts';
import { blockingReview, fallDue } from '../approvals/review.ts';
import type { NewEvent } from '../audit/event.ts';
import type { BreakGlassRule, Decision } from '../grants/grant.ts';
import { instant } from '../instant.ts';
import { err, ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import type { Unit } from '../store/commit.ts';
import { overdueReviews, untoldReviews } from '../store/reviews.ts';
import type { ReviewRow, TaskRow } from '../store/rows.ts';
import { aboutReview, aboutTask } from './about.ts';
import { actorOf, type Broker } from './broker.ts';
import type { Refusal } from './refusal.ts';
import { personOf } from './request-view.ts';
import type { OpenTask, PrincipalCaller } from './verbs.ts';

/** Overdue reviews that one look reads. Where there are more, nobody can be told apart, and so nobody gets in. */
const MAX_OVERDUE = 1_000;

/**
 * Between policy's yes and everything else: whether somebody may break the glass now. Answers the rule of the grant,
 * or null where it is no break-glass grant. Runs at each asking and at the opening.
 */
export async function breakGlassGate(
  broker: Broker,
  caller: PrincipalCaller,
  ask: OpenTask,
  now: number,
): Promise<Result<BreakGlassRule | null, Refusal>> {
  const rule = broker.grants.get(ask.grant)?.breakGlass ?? null;
  const practice = ask.practice === true;
  if (rule === null) {
    if (!practice) return ok(null);
    return err({ reason: 'invalid-request', detail: 'Cannot practise: it is not a break-glass grant' });
  }
  const by = personOf(caller);
  if (by.actors !== undefined)
    return err({ reason: 'not-allowed', detail: 'break-glass: nobody breaks the glass through another' });
  if (humansBehind(broker.people, by).length === 0)
    return err({ reason: 'not-allowed', detail: 'break-glass: people names nobody with this identity' });
  const overdue = await overdueReviews(broker.database, practice, now, MAX_OVERDUE);
  const blocking = blockingReview(broker.people, overdue, { by, practice, now });
  if (blocking !== null)
    return err({
      reason: 'review-overdue',
      detail: `The review ${blocking.id} of an earlier use is overdue: somebody else must close it first`,
    });
  if (overdue.length >= MAX_OVERDUE)
    return err({
      reason: 'review-overdue',
      detail: `${MAX_OVERDUE} reviews are overdue: whoever may must close some first`,
    });
  return ok(rule);
}

/** What the commit of an opening says of the use, and the review that begins with it. */
export function useOf(
  broker: Broker,
  caller: PrincipalCaller,
  task: TaskRow,
  decision: Decision,
  rule: BreakGlassRule | null,
  request: string | null,
): { readonly unit: Pick<Unit, 'newReview'>; readonly events: readonly NewEvent[] } {
  if (rule === null) return { unit: {}, events: [] };
  const person = personOf(caller);
  const review: ReviewRow = {
    id: newId(broker.runtime),
    version: 1,
    state: 'open',
    grant: task.grant,
    taskId: task.id,
    issuer: task.issuer,
    subject: task.subject,
    person,
    people: humansBehind(broker.people, person),
    practice: task.practice,
    purpose: task.purpose ?? '',
    ticket: task.ticket,
    openedAt: task.openedAt,
    dueAt: task.expiresAt + rule.review.dueSeconds * 1000,
    closedAt: null,
    closedBy: null,
    finding: null,
  };
  const event: NewEvent = {
    kind: 'breakglass.opened',
    actor: actorOf(caller),
    about: aboutTask(task),
    data: {
      practice: task.practice,
      people: [...review.people],
      name: task.name,
      purpose: review.purpose,
      ...(task.ticket === null ? {} : { ticket: task.ticket }),
      credentials: decision.credentials.map(({ name, target }) => ({ name, target })),
      request,
      until: instant(task.expiresAt),
      review: review.id,
      reviewDueAt: instant(review.dueAt),
    },
  };
  return { unit: { newReview: review }, events: [event] };
}

/** Tells of reviews that have fallen due. Until then they block all the same. */
export async function tellOverdueReviews(broker: Broker, limit: number): Promise<void> {
  const now = broker.runtime.now();
  for (const review of await untoldReviews(broker.database, now, limit)) {
    const due = fallDue(review, now);
    if (due === null) continue;
    await broker.committer.commit({
      changedReview: due,
      events: [
        {
          kind: 'review.due',
          actor: { kind: 'system' },
          about: aboutReview(review),
          data: dataOf(review),
        },
      ],
    });
  }
}

/** What events about a review say of it. */
export function dataOf({ id, practice, issuer, subject, people, dueAt }: ReviewRow) {
  return { id, practice, issuer, subject, people: [...people], dueAt: instant(dueAt) };
}
