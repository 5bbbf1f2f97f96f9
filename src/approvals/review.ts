import type { Human, PrincipalMatcher } from '../grants/grant.ts';
import { matchesPrincipal } from '../grants/principal.ts';
import { err, ok, type Result } from '../result.ts';
import type { Person, ReviewRow } from '../store/rows.ts';
import { asPrincipal, isSame } from './person.ts';

/**
 * A review begins with the use of a break-glass grant, as `open`. From `dueAt` on it keeps that person from the next
 * use, whatever its row says yet; the reaper makes it `due`, which tells people. Somebody else makes it `closed`, for
 * good, at any time after the task has ended.
 */
export function isOverdue(review: ReviewRow, now: number): boolean {
  return review.state !== 'closed' && now >= review.dueAt;
}

/** The overdue review that keeps somebody from breaking the glass; null: none. Practice and real use keep each other from nothing. */
export function blockingReview(
  people: readonly Human[],
  reviews: readonly ReviewRow[],
  use: { readonly by: Person; readonly practice: boolean; readonly now: number },
): ReviewRow | null {
  return (
    reviews.find(
      (review) =>
        isOverdue(review, use.now) &&
        review.practice === use.practice &&
        isSame(people, review.person, use.by),
    ) ?? null
  );
}

/** The review once its time has come; null before, and where it has been told or closed. */
export function fallDue(review: ReviewRow, now: number): ReviewRow | null {
  return review.state === 'open' && isOverdue(review, now) ? { ...review, state: 'due' } : null;
}

/** Who may close: those whom the grant names as it is now, or, where the grant names nobody any more, operators. */
export interface Reviewing {
  readonly people: readonly Human[];
  readonly by: readonly PrincipalMatcher[] | null;
  readonly isOperator: boolean;
}

/** Whether somebody is one of those who close reviews of the grant. Whether he may close this one is another question. */
export function isReviewer({ by, isOperator }: Pick<Reviewing, 'by' | 'isOperator'>, who: Person): boolean {
  if (by === null) return isOperator;
  return by.some((matcher) => matchesPrincipal(matcher, asPrincipal(who)));
}

/** The review closed with a finding, by somebody else than the person whom it is about. */
export function close(
  reviewing: Reviewing,
  review: ReviewRow,
  closing: {
    readonly by: Person;
    readonly finding: string;
    readonly now: number;
    readonly taskHasEnded: boolean;
  },
): Result<ReviewRow, string> {
  const { by, finding, now } = closing;
  if (review.state === 'closed') return err('it is closed');
  if (isSame(reviewing.people, review.person, by)) return err('nobody closes a review of what he did');
  if (by.actors !== undefined) return err('nobody closes a review through another');
  if (!isReviewer(reviewing, by)) return err('he is not one of those who close it');
  if (!closing.taskHasEnded) return err('its task has not ended');
  const { issuer, subject } = by;
  return ok({ ...review, state: 'closed', closedAt: now, closedBy: { issuer, subject }, finding });
}
