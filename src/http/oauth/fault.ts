import type { Refusal } from '../../broker/refusal.ts';
import { type Exchange, jsonResponse } from '../observe.ts';
import { type Fault, PROBLEMS, retryAfterSeconds } from '../wire.ts';

/** The codes of errors: RFC 6749 section 5.2, RFC 6750 section 3.1, RFC 8628, RFC 8693, RFC 9396 and RFC 9449. */
export type OAuthError =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'invalid_authorization_details'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'invalid_token'
  | 'insufficient_scope'
  | 'authorization_pending'
  | 'temporarily_unavailable'
  | 'server_error';

/** An error before it has its request's id. `description` is for the caller. */
export interface OAuthFault {
  readonly status: number;
  readonly error: OAuthError;
  readonly description: string;
  readonly retryAfterMs?: number;
  /** For the next proof of possession. */
  readonly nonce?: string;
  /** The scheme in which the caller should have proven who he is. */
  readonly challenge?: string;
}

/** One for all of it, so that a denial never tells a stranger how near he came. RFC 8693, section 2.2.2, has one code for it too. */
const DENIED: OAuthFault = {
  status: 400,
  error: 'invalid_request',
  description: 'The tokens are not accepted, or no policy allows this request',
};

/** A refusal of the broker as the token endpoint says it. */
export function tokenFault(refusal: Refusal): OAuthFault {
  switch (refusal.reason) {
    case 'unauthenticated':
    case 'fallback-closed':
    case 'not-allowed':
    case 'not-found':
      return DENIED;
    case 'bad-proof':
      return proofFault(refusal.nonce, 400);
    case 'invalid-request':
      return { status: 400, error: 'invalid_authorization_details', description: refusal.detail };
    case 'idempotency-key-reused':
      return {
        status: 400,
        error: 'invalid_request',
        description: 'The idempotency key was used for another request',
      };
    case 'already-delivered':
      return {
        status: 400,
        error: 'invalid_grant',
        description: 'The answer was given before and cannot be given twice',
      };
    case 'task-ended':
    case 'lease-ended':
    case 'cannot-renew':
      return { status: 400, error: 'invalid_grant', description: 'The task has ended' };
    case 'limit-reached':
      return unavailable('A limit of the grant is reached', 429, refusal.retryAfterMs);
    case 'awaiting-approval':
      // RFC 8628, section 3.5: the client asks again in the same words.
      return { status: 400, error: 'authorization_pending', description: 'It waits for approval' };
    case 'review-overdue':
      return { status: 400, error: 'invalid_grant', description: refusal.detail };
    case 'too-early':
      // The same in the words of RFC 8628: it is not usable yet.
      return { status: 400, error: 'authorization_pending', description: refusal.detail };
    case 'in-progress':
      return unavailable('The same idempotency key is being served', 503, refusal.retryAfterMs);
    case 'overloaded':
      return unavailable('Too busy', 503, refusal.retryAfterMs);
    case 'target-unavailable':
      return unavailable('The target does not answer', 503, refusal.retryAfterMs);
    case 'mint-failed':
      return unavailable('The target did not make the credential', 503);
    default:
      return refusal satisfies never;
  }
}

/** A refusal as an endpoint says it whose caller proves himself by a token in the header (RFC 7662, section 2.3). */
export function bearerFault(refusal: Refusal): OAuthFault {
  switch (refusal.reason) {
    case 'unauthenticated':
      return {
        status: 401,
        error: 'invalid_token',
        description: 'The bearer token is missing or not accepted',
        challenge: 'Bearer',
      };
    case 'bad-proof':
      return proofFault(refusal.nonce, 401);
    case 'fallback-closed':
    case 'not-allowed':
    case 'not-found':
      return { status: 403, error: 'insufficient_scope', description: 'No policy allows this request' };
    default:
      return tokenFault(refusal);
  }
}

function proofFault(nonce: string | null, status: 400 | 401): OAuthFault {
  const challenge = status === 401 ? { challenge: 'DPoP' } : {};
  if (nonce === null) {
    const description = 'The proof of possession is missing or not accepted';
    return { status, error: 'invalid_dpop_proof', description, ...challenge };
  }
  return {
    status,
    error: 'use_dpop_nonce',
    description: 'Repeat it with the nonce in DPoP-Nonce',
    nonce,
    ...challenge,
  };
}

function unavailable(description: string, status: number, retryAfterMs?: number): OAuthFault {
  const retry = retryAfterMs === undefined ? {} : { retryAfterMs };
  return { status, error: 'temporarily_unavailable', description, ...retry };
}

/** What the border found or was thrown, before or beside the broker's own refusals. */
export function wireFault(fault: Fault): OAuthFault {
  const { status, title } = PROBLEMS[fault.code];
  const description = fault.detail ?? title;
  if (status >= 500 || status === 429) {
    const retry = fault.retryAfterMs === undefined ? {} : { retryAfterMs: fault.retryAfterMs };
    const error = fault.code === 'internal' ? 'server_error' : 'temporarily_unavailable';
    return { status, error, description, ...retry };
  }
  if (status === 401) return bearerFault({ reason: 'unauthenticated', detail: '' });
  return { status, error: 'invalid_request', description };
}

/** The error on the wire. Descriptions keep to the characters that RFC 6749, section 5.2, allows. */
export function faultResponse(fault: OAuthFault, exchange: Exchange): Response {
  const { error, challenge, nonce, retryAfterMs } = fault;
  const headers = {
    ...(retryAfterMs === undefined ? {} : { 'retry-after': String(retryAfterSeconds(retryAfterMs)) }),
    ...(challenge === undefined ? {} : { 'www-authenticate': `${challenge} error="${error}"` }),
    ...(nonce === undefined ? {} : { 'dpop-nonce': nonce }),
  };
  const description = fault.description.replaceAll('"', "'").replace(/[^\x20-\x5b\x5d-\x7e]/g, '?');
  return jsonResponse(fault.status, { error, error_description: description }, exchange, headers);
}
