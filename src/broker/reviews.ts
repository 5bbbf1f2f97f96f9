import { isIdentity, isSame } from '../approvals/person.ts';
import { close, isReviewer, type Reviewing } from '../approvals/review.ts';
import { ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import { openReviews, readReview as readReviewRow } from '../store/reviews.ts';
import type { ReviewRow } from '../store/rows.ts';
import { readTask } from '../store/tasks.ts';
import { aboutReview } from './about.ts';
import { disclose } from './authorize.ts';
import { dataOf } from './break-glass.ts';
import { actorOf, type Broker } from './broker.ts';
import { evidenceOf } from './intend.ts';
import { committed } from './lease.ts';
import { hasEnded } from './permit.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import { personOf } from './request-view.ts';
import { changedMeanwhile } from './task.ts';
import type { Caller, PrincipalCaller } from './verbs.ts';

/** Reviews that one answer shows. */
const MAX_SHOWN = 500;

/** Reviews that nobody has closed, as far as the caller may see them. The log says who is shown what others did. */
export async function listReviews(
  broker: Broker,
  caller: Caller,
): Promise<Result<readonly ReviewRow[], Refusal>> {
  if (caller.kind !== 'principal') return noSuch(broker, caller, 'list-reviews');
  const rows = (await openReviews(broker.database, MAX_SHOWN)).filter((row) => maySee(broker, caller, row));
  const strange = rows.filter((review) => !isIdentity(review.person, personOf(caller)));
  const others = strange.length === 0 ? null : { reviews: strange.length };
  const shown = await disclose(broker, caller, 'reviews', others);
  return shown.ok ? ok(rows) : shown;
}

export async function readReview(
  broker: Broker,
  caller: Caller,
  id: string,
): Promise<Result<ReviewRow, Refusal>> {
  const review = await readReviewRow(broker.database, id);
  if (caller.kind !== 'principal' || review === null || !maySee(broker, caller, review))
    return noSuch(broker, caller, 'read-review');
  const isOwn = isIdentity(review.person, personOf(caller));
  const shown = await disclose(broker, caller, 'review', isOwn ? null : { id });
  return shown.ok ? ok(review) : shown;
}

/** Closed with what was found, by somebody else than the person whom it is about. */
export async function closeReview(
  broker: Broker,
  caller: Caller,
  id: string,
  finding: string,
): Promise<Result<ReviewRow, Refusal>> {
  const what = 'close-review';
  const review = await readReviewRow(broker.database, id);
  if (caller.kind !== 'principal' || review === null || !maySee(broker, caller, review))
    return noSuch(broker, caller, what);
  const now = broker.runtime.now();
  const task = await readTask(broker.database, review.taskId);
  const taskHasEnded = task === null || hasEnded(task, now);
  const closed = close(reviewingOf(broker, caller, review), review, {
    by: personOf(caller),
    finding,
    now,
    taskHasEnded,
  });
  if (!closed.ok)
    return refuse(broker, caller, aboutReview(review), what, {
      reason: 'not-allowed',
      detail: `review: ${closed.error}`,
    });
  const result = await broker.committer.commit({
    changedReview: closed.value,
    ...evidenceOf(caller, newId(broker.runtime)),
    events: [
      {
        kind: 'review.closed',
        actor: actorOf(caller),
        about: aboutReview(review),
        data: { ...dataOf(review), finding },
      },
    ],
  });
  if (!result.ok) return changedMeanwhile(broker, caller, aboutReview(review), what);
  return ok(committed(closed.value));
}

function reviewingOf(broker: Broker, caller: PrincipalCaller, review: ReviewRow): Reviewing {
  const by = broker.grants.get(review.grant)?.breakGlass?.review.by ?? null;
  return { people: broker.people, by, isOperator: caller.roles.has('operator') };
}

/** Whoever it is about, those who close it, and those who read everything. */
function maySee(broker: Broker, caller: PrincipalCaller, review: ReviewRow): boolean {
  const who = personOf(caller);
  return (
    caller.roles.has('operator') ||
    caller.roles.has('auditor') ||
    isSame(broker.people, review.person, who) ||
    isReviewer(reviewingOf(broker, caller, review), who)
  );
}

function noSuch(broker: Broker, caller: Caller, what: string) {
  return refuse(broker, caller, {}, what, {
    reason: 'not-found',
    detail: "There is no such review, or it is not the caller's to see",
  });
}
