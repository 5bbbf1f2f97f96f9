import type { Refusal } from '../broker/refusal.ts';
import { HallpassError } from '../errors.ts';
import type * as contract from './contract.ts';

/** A problem before it has its request's id. `detail` is for the caller. */
export interface Fault {
  readonly code: contract.ProblemCode;
  readonly detail?: string;
  readonly faults?: readonly { readonly path: string; readonly message: string }[];
  readonly retryAfterMs?: number;
  /** For the next proof of possession. */
  readonly nonce?: string;
}

/** What each code says on the wire. */
export const PROBLEMS: Readonly<
  Record<contract.ProblemCode, { readonly status: number; readonly title: string; readonly meaning: string }>
> = {
  'invalid-request': {
    status: 400,
    title: 'The request cannot be understood',
    meaning: 'Correct it as `detail` and `faults` say.',
  },
  unauthenticated: {
    status: 401,
    title: 'The caller is not known',
    meaning: 'The bearer token is missing, or is not good here. The log of the broker says why.',
  },
  'fallback-closed': {
    status: 403,
    title: 'The usual identity provider is to be used',
    meaning:
      'What was presented stands in for an identity provider that can be reached, or is not known to be away for long enough. The log of the broker says which.',
  },
  'invalid-proof': {
    status: 401,
    title: 'The proof of possession is missing or bad',
    meaning:
      'The token is bound to a key or a certificate. Present it as `Authorization: DPoP` with a new proof by that key (RFC 9449). The log of the broker says what is wrong.',
  },
  'use-nonce': {
    status: 401,
    title: 'The proof of possession is not of now',
    meaning: 'Make the proof again, with the nonce of the header `DPoP-Nonce`.',
  },
  'not-allowed': {
    status: 403,
    title: 'Not allowed',
    meaning:
      'No policy allows it. The answer is the same whatever the ground; `POST /v1/explain` tells operators.',
  },
  'not-found': { status: 404, title: 'Not found', meaning: 'It does not exist, or is not yours to see.' },
  conflict: {
    status: 409,
    title: 'It changed meanwhile',
    meaning: 'Somebody else changed it at the same time. Read it again and repeat.',
  },
  'in-progress': {
    status: 409,
    title: 'Being served',
    meaning: 'The same idempotency key is being served right now. Repeat after `Retry-After`.',
  },
  'already-delivered': {
    status: 409,
    title: 'Delivered before',
    meaning:
      'The same idempotency key was served, and its secret cannot be given twice. With a `public_key` it can.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'Idempotency key used for another request',
    meaning: 'Take a new key for every new request.',
  },
  'task-ended': { status: 409, title: 'The task has ended', meaning: 'Open another.' },
  'too-early': {
    status: 409,
    title: 'Its start has not come',
    meaning: 'It was approved for later. Repeat after `Retry-After`.',
  },
  'review-overdue': {
    status: 403,
    title: 'A review is overdue',
    meaning:
      'Break-glass was used before, and the review of that use is overdue. Somebody else must close it first.',
  },
  'lease-ended': { status: 409, title: 'The lease has ended', meaning: 'Its credential is gone.' },
  'cannot-renew': {
    status: 409,
    title: 'The lease cannot be renewed',
    meaning: 'It is at its cap, or its target cannot extend credentials.',
  },
  'limit-reached': {
    status: 429,
    title: 'A limit of the grant is reached',
    meaning: 'Repeat after `Retry-After`.',
  },
  'too-large': { status: 413, title: 'The request is too large', meaning: 'Bodies are bounded at 64 KiB.' },
  'unsupported-media-type': {
    status: 415,
    title: 'The body is not JSON',
    meaning: 'Send `Content-Type: application/json`, in UTF-8 and uncompressed.',
  },
  'rate-limited': { status: 429, title: 'Too many requests', meaning: 'Repeat after `Retry-After`.' },
  overloaded: {
    status: 503,
    title: 'Too busy',
    meaning: 'Nothing was begun. Repeat after `Retry-After`.',
  },
  'not-ready': {
    status: 503,
    title: 'This replica is not ready',
    meaning:
      'Its clock is wrong. Nothing was begun. Repeat after `Retry-After`: another replica may serve it.',
  },
  'target-unavailable': {
    status: 503,
    title: 'The target does not answer',
    meaning: 'Nothing was begun. Repeat after `Retry-After`.',
  },
  'mint-failed': {
    status: 502,
    title: 'The target did not make the credential',
    meaning: 'Whatever it may have made is being revoked.',
  },
  'store-unavailable': {
    status: 503,
    title: 'The store does not answer',
    meaning: 'Whether the request took effect is unknown. Repeat it with the same idempotency key.',
  },
  internal: {
    status: 500,
    title: 'The broker failed',
    meaning: 'Its log has the cause under the id of the request.',
  },
};

const STORE_RETRY_MS = 2_000;

/** A refusal as its caller may read it: a denial is one and the same whatever its ground. */
export function refusalFault(refusal: Refusal): Fault {
  switch (refusal.reason) {
    case 'unauthenticated':
      return { code: 'unauthenticated', detail: 'The bearer token is missing or not accepted' };
    case 'fallback-closed':
      return {
        code: 'fallback-closed',
        detail: 'It stands in for an identity provider that is not known to be away: use that one',
      };
    case 'bad-proof':
      if (refusal.nonce !== null)
        return { code: 'use-nonce', detail: 'Repeat it with the nonce in DPoP-Nonce', nonce: refusal.nonce };
      return { code: 'invalid-proof', detail: 'The proof of possession is missing or not accepted' };
    case 'not-allowed':
      return { code: 'not-allowed', detail: 'No policy allows this request' };
    case 'not-found':
      return { code: 'not-found', detail: 'It does not exist, or is not yours to see' };
    case 'awaiting-approval':
      // The route answers it with the request.
      return { code: 'in-progress' };
    case 'invalid-request':
      return { code: 'invalid-request', detail: refusal.detail };
    case 'in-progress':
      return {
        code: 'in-progress',
        detail: 'The same idempotency key is being served',
        retryAfterMs: refusal.retryAfterMs,
      };
    case 'already-delivered':
      return {
        code: 'already-delivered',
        detail: 'The secret of this request was given before and cannot be given twice',
      };
    case 'idempotency-key-reused':
      return {
        code: 'idempotency-key-reused',
        detail: 'The idempotency key was used for another request: take a new one',
      };
    case 'task-ended':
      return { code: 'task-ended', detail: 'The task has ended' };
    case 'review-overdue':
      return { code: 'review-overdue', detail: refusal.detail };
    case 'too-early':
      return { code: 'too-early', detail: refusal.detail, retryAfterMs: refusal.retryAfterMs };
    case 'lease-ended':
      return { code: 'lease-ended', detail: 'The lease has ended' };
    case 'cannot-renew':
      return { code: 'cannot-renew', detail: refusal.detail };
    case 'limit-reached':
      return {
        code: 'limit-reached',
        detail: 'A limit of the grant is reached',
        retryAfterMs: refusal.retryAfterMs,
      };
    case 'overloaded':
      return { code: 'overloaded', detail: 'Too busy', retryAfterMs: refusal.retryAfterMs };
    case 'target-unavailable':
      return {
        code: 'target-unavailable',
        detail: 'The target does not answer',
        retryAfterMs: refusal.retryAfterMs,
      };
    case 'mint-failed':
      return { code: 'mint-failed', detail: 'The target did not make the credential' };
    default:
      return refusal satisfies never;
  }
}

/** What is thrown, as its caller may read it. Everything unknown is `internal`, without a detail. */
export function thrownFault(error: unknown): Fault {
  if (!(error instanceof HallpassError)) return { code: 'internal' };
  switch (error.code) {
    case 'store-unavailable':
      return { code: 'store-unavailable', retryAfterMs: STORE_RETRY_MS };
    case 'not-ready':
      return { code: 'not-ready', retryAfterMs: STORE_RETRY_MS };
    case 'store-conflict':
      return { code: 'conflict' };
    case 'overloaded':
    case 'stopped':
      return { code: 'overloaded', retryAfterMs: STORE_RETRY_MS };
    default:
      return { code: 'internal' };
  }
}

/** The body of a problem (RFC 9457). */
export function problemBody(fault: Fault, requestId: string): contract.Problem {
  const { status, title } = PROBLEMS[fault.code];
  return {
    type: `/docs#problem-${fault.code}`,
    title,
    status,
    ...(fault.detail === undefined ? {} : { detail: fault.detail }),
    code: fault.code,
    request_id: requestId,
    ...(fault.faults ? { faults: [...fault.faults] } : {}),
    ...(fault.retryAfterMs === undefined
      ? {}
      : { retry_after_seconds: retryAfterSeconds(fault.retryAfterMs) }),
  };
}

/** `Retry-After` in whole seconds, at least one. */
export function retryAfterSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
