import type { RequestView } from './verbs.ts';

/**
 * Why the broker does not do what it is asked. `detail` is for the operator and the log; what the caller reads is
 * chosen in http/wire.ts, which hears only the reason, so a denial never tells a stranger how near he came.
 */
export type Refusal =
  /** Evidence was missing or bad. */
  | { readonly reason: 'unauthenticated'; readonly detail: string }
  /** Evidence is good, of an issuer that stands in for another, which is not known to be away. The caller may know. */
  | { readonly reason: 'fallback-closed'; readonly detail: string }
  /**
   * The token is bound to a key or a certificate, and what should prove that the caller holds it is missing or bad.
   * With a nonce: nothing is wrong but its time, and a proof with this nonce would do.
   */
  | { readonly reason: 'bad-proof'; readonly detail: string; readonly nonce: string | null }
  /** Policy says no, whatever the ground. */
  | { readonly reason: 'not-allowed'; readonly detail: string }
  | { readonly reason: 'not-found'; readonly detail: string }
  /** Policy allows it once somebody approves: not a no, and not logged as one. */
  | { readonly reason: 'awaiting-approval'; readonly detail: string; readonly view: RequestView }
  /** It was approved for later; the caller may read the detail. */
  | { readonly reason: 'too-early'; readonly detail: string; readonly retryAfterMs: number }
  /** Break-glass waits for a review; the caller may read the detail. */
  | { readonly reason: 'review-overdue'; readonly detail: string }
  /** What was asked cannot be understood; the caller may read the detail. */
  | { readonly reason: 'invalid-request'; readonly detail: string }
  /** The same idempotency key is being served right now. */
  | { readonly reason: 'in-progress'; readonly detail: string; readonly retryAfterMs: number }
  /** The same idempotency key was served, and its secret cannot be given twice. */
  | { readonly reason: 'already-delivered'; readonly detail: string }
  /** The same idempotency key with another request. */
  | { readonly reason: 'idempotency-key-reused'; readonly detail: string }
  | { readonly reason: 'task-ended'; readonly detail: string }
  | { readonly reason: 'lease-ended'; readonly detail: string }
  /** At its cap, or the target cannot extend; the caller may read the detail. */
  | { readonly reason: 'cannot-renew'; readonly detail: string }
  /** A limit of the grant is reached, or its task grant is used up. */
  | { readonly reason: 'limit-reached'; readonly detail: string; readonly retryAfterMs: number }
  /** Shed before intent. */
  | { readonly reason: 'overloaded'; readonly detail: string; readonly retryAfterMs: number }
  /** The target's breaker is open: refused before intent. */
  | { readonly reason: 'target-unavailable'; readonly detail: string; readonly retryAfterMs: number }
  /** The target did not mint; whatever it may have made is being ended. */
  | { readonly reason: 'mint-failed'; readonly detail: string };

/** Something that a kill keeps out was to begin or to be kept alive. */
export const BLOCKED: Refusal = {
  reason: 'not-allowed',
  detail: 'block: a kill keeps this out until its block is lifted',
};
