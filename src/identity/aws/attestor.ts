import { sha256 } from '../../json.ts';
import { err, ok, type Result } from '../../result.ts';
import { type Runtime, withDeadline } from '../../runtime.ts';
import type { AttestationReason, AttestationRefusal, Attestor, Principal } from '../attestor.ts';
import { createSend } from '../jwt/fetch.ts';
import { CLOCK_TOLERANCE_SECONDS_MAX } from '../jwt/limits.ts';
import { type CallerIdentity, readIdentity, refusalCode } from './identity.ts';
import {
  ANSWER_MAX_BYTES,
  QUESTION_TIMEOUT_MS,
  QUESTIONS_MAX,
  TOKEN_MAX_CHARS,
  VERIFIED_MAX,
} from './limits.ts';
import { PREFIX, QUESTION, readRequest, type SignedRequest, urlOf } from './request.ts';

export interface AwsSettings {
  readonly audience: string;
  /** Where a request may be sent, and the region that it must be signed for; null: any. */
  readonly endpoints: ReadonlyMap<string, string | null>;
  /** Null: any. */
  readonly accounts: readonly string[] | null;
  readonly maxAgeSeconds: number;
  readonly clockToleranceSeconds: number;
}

type Refused = { readonly ok: false; readonly error: AttestationRefusal };

/**
 * Attests callers of AWS: a request for GetCallerIdentity that they signed for this broker is passed on to STS, which
 * alone can check the signature and say whose it is. It goes nowhere but to the configured addresses, and each is for
 * one use. A token for another address is `null`, and causes no request.
 */
export function createAwsAttestor(name: string, settings: AwsSettings, runtime: Runtime): Attestor {
  const send = createSend(runtime, undefined);
  const verified = new Map<string, CallerIdentity>();
  let underWay = 0;

  function refuse(reason: AttestationReason, detail: string): Refused {
    return err({ reason, detail, issuer: name });
  }

  /** All that can be judged without asking. */
  function judge(token: string, now: number): Result<SignedRequest, AttestationRefusal> {
    const read = readRequest(token);
    if (!read.ok) return refuse('malformed', `The signed request cannot be used: ${read.error}`);
    const { url, audience, region, signedAt } = read.value;
    if (audience !== settings.audience)
      return refuse(
        'audience',
        `The request is for ${JSON.stringify(audience.slice(0, 200))}, not for this broker`,
      );
    const expected = settings.endpoints.get(url) ?? null;
    if (expected !== null && region !== expected)
      return refuse('malformed', 'The request is signed for another region than that of its address');
    const ageSeconds = (now - signedAt) / 1000;
    if (ageSeconds < -settings.clockToleranceSeconds)
      return refuse('not-yet-valid', 'The request says it was signed later');
    if (ageSeconds >= settings.maxAgeSeconds + settings.clockToleranceSeconds)
      return refuse('expired', `The request was signed more than ${settings.maxAgeSeconds} seconds ago`);
    return read;
  }

  /** Passes the question on. Nothing is durable yet; a question that got lost is asked again by whoever wants to know. */
  async function ask(
    { url, headers }: SignedRequest,
    signal: AbortSignal,
  ): Promise<Result<CallerIdentity, AttestationRefusal>> {
    if (underWay >= QUESTIONS_MAX)
      return refuse('keys-unavailable', `${QUESTIONS_MAX} requests to STS are under way`);
    underWay++;
    try {
      const answer = await withDeadline(
        runtime,
        QUESTION_TIMEOUT_MS,
        (deadline) =>
          send(
            url,
            { method: 'POST', headers, body: QUESTION, signal: deadline },
            ANSWER_MAX_BYTES,
            [200, 400, 403],
          ),
        signal,
      ).catch(() => err(`no answer within ${QUESTION_TIMEOUT_MS} ms`));
      if (!answer.ok) return refuse('keys-unavailable', `Cannot ask "${url}": ${answer.error}`);
      if (answer.value.status !== 200)
        return refuse(
          'signature',
          `STS refuses the request: ${refusalCode(answer.value.body) ?? answer.value.status}`,
        );
      const identity = readIdentity(answer.value.body);
      return identity.ok ? identity : refuse('malformed', `Cannot use what "${url}" says: ${identity.error}`);
    } finally {
      underWay--;
    }
  }

  function remember(hash: string, identity: CallerIdentity): void {
    verified.set(hash, identity);
    const [oldest] = verified.keys();
    if (verified.size > VERIFIED_MAX && oldest !== undefined) verified.delete(oldest);
  }

  return {
    issuer: name,
    async attest(evidence, now, signal) {
      if (evidence.kind !== 'bearer' || !evidence.token.startsWith(PREFIX)) return null;
      const { token } = evidence;
      if (token.length > TOKEN_MAX_CHARS)
        return refuse('too-large', `The signed request has more than ${TOKEN_MAX_CHARS} characters`);
      const url = urlOf(token);
      if (url === null || !settings.endpoints.has(url)) return null;
      const request = judge(token, now);
      if (!request.ok) return request;
      const hash = sha256(token);
      const known = verified.get(hash);
      const identity = known ? ok(known) : await ask(request.value, signal);
      if (!identity.ok) return identity;
      remember(hash, identity.value);
      if (settings.accounts !== null && !settings.accounts.includes(identity.value.account))
        return refuse('unknown-issuer', 'The account is none of those that are configured');
      return ok(toPrincipal(name, settings, request.value, identity.value, hash));
    },
  };
}

/** The signature is remembered for the largest tolerance that can be configured: see single use of other evidence. */
function toPrincipal(
  issuer: string,
  { maxAgeSeconds }: AwsSettings,
  { signedAt, signature }: SignedRequest,
  { uniqueId, ...identity }: CallerIdentity,
  evidenceHash: string,
): Principal {
  const expiresAt = signedAt + maxAgeSeconds * 1000;
  const singleUse = {
    id: `${issuer}:sigv4:${signature}`,
    until: expiresAt + CLOCK_TOLERANCE_SECONDS_MAX * 1000,
  };
  return Object.freeze({
    issuer,
    subject: identity.arn,
    claims: Object.freeze({ sub: identity.arn, ...identity, unique_id: uniqueId }),
    proof: Object.freeze({
      method: 'aws-sigv4',
      evidenceHash,
      expiresAt,
      singleUse: Object.freeze(singleUse),
    }),
  });
}
