import { z } from 'zod';
import { HallpassError } from '../../errors.ts';
import type { Result } from '../../result.ts';
import { type Runtime, withDeadline } from '../../runtime.ts';
import type { AttestationRefusal, Principal } from '../attestor.ts';
import { parseJson, type Send } from '../jwt/fetch.ts';

/** A TokenReview echoes the token, and says little more. */
const REVIEW_MAX_BYTES = 65_536;

/** Reviews under way at once; an API server under load is not helped by more. */
const REVIEWS_MAX = 64;

/** An API server that is slower than this is as good as gone. */
export const REVIEW_TIMEOUT_MS = 5_000;

const reviewed = z.object({
  kind: z.literal('TokenReview'),
  status: z.object({
    authenticated: z.boolean().default(false),
    audiences: z.array(z.string()).default([]),
    user: z.object({ username: z.string(), uid: z.string().optional() }).optional(),
  }),
});

const boundTo = z.object({ 'kubernetes.io': z.object({ serviceaccount: z.object({ uid: z.string() }) }) });

/**
 * Asks the API server whether a token that was verified is still good: that of a deleted pod or service account is not.
 * Answers null when it is. An API server that does not answer has not said yes.
 *
 * https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
 */
export function createTokenReview(
  review: { readonly url: string; readonly authorization: () => Promise<Result<string, string>> },
  audiences: readonly string[],
  send: Send,
  runtime: Runtime,
): (token: string, principal: Principal, signal: AbortSignal) => Promise<AttestationRefusal | null> {
  let underWay = 0;

  async function ask(token: string, principal: Principal, signal: AbortSignal) {
    const authorization = await review.authorization();
    if (!authorization.ok) return unavailable(authorization.error);
    const headers = {
      accept: 'application/json',
      'content-type': 'application/json',
      authorization: authorization.value,
    };
    const body = JSON.stringify({
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences },
    });
    const answer = await send(
      review.url,
      { method: 'POST', headers, body, signal },
      REVIEW_MAX_BYTES,
      [200, 201],
    );
    if (!answer.ok) return unavailable(answer.error);
    const json = parseJson(answer.value);
    const read = json.ok ? reviewed.safeParse(json.value) : undefined;
    return read?.success
      ? judge(read.data.status, principal, audiences)
      : unavailable('the answer is no TokenReview');
  }

  return async (token, principal, signal) => {
    if (underWay >= REVIEWS_MAX) return unavailable(`${REVIEWS_MAX} reviews are under way`);
    underWay++;
    try {
      return await withDeadline(
        runtime,
        REVIEW_TIMEOUT_MS,
        (deadline) => ask(token, principal, deadline),
        signal,
      );
    } catch (error) {
      if (!(signal.aborted || (error instanceof HallpassError && error.code === 'timeout'))) throw error;
      return unavailable(`no answer within ${REVIEW_TIMEOUT_MS} ms`);
    } finally {
      underWay--;
    }
  };
}

/** What the answer says of this token, this audience and this account. An answer about anything else is no yes. */
function judge(
  status: z.output<typeof reviewed>['status'],
  principal: Principal,
  audiences: readonly string[],
): AttestationRefusal | null {
  if (!status.authenticated)
    return {
      reason: 'revoked',
      detail: 'The API server no longer knows this token: its pod or account is gone',
    };
  if (!status.audiences.some((audience) => audiences.includes(audience)))
    return { reason: 'audience', detail: 'The API server does not confirm the audience' };
  const bound = boundTo.safeParse(principal.claims);
  const uid = bound.success ? bound.data['kubernetes.io'].serviceaccount.uid : undefined;
  const same = status.user?.username === principal.subject && (uid === undefined || status.user.uid === uid);
  return same ? null : { reason: 'revoked', detail: 'The API server takes this token for another account' };
}

function unavailable(why: string): AttestationRefusal {
  return { reason: 'keys-unavailable', detail: `Cannot have the token reviewed: ${why}` };
}
