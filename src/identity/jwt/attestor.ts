import { sha256 } from '../../json.ts';
import { err, ok, type Result } from '../../result.ts';
import type { AttestationReason, AttestationRefusal, Attestor, Principal, SingleUse } from '../attestor.ts';
import {
  type ClaimExpectations,
  type ClaimFault,
  checkClaims,
  checkTimes,
  type RegisteredClaims,
  type TimeBounds,
} from './claims.ts';
import type { KeySource } from './keys.ts';
import { CLOCK_TOLERANCE_SECONDS_MAX, TOKEN_MAX_CHARS, VERIFIED_TOKENS_MAX } from './limits.ts';
import { brief, provenBy } from './signature.ts';
import type { JsonObject } from './strict-json.ts';
import {
  isOfAnother,
  readClaims,
  readHeader,
  splitToken,
  type TokenHeader,
  type TokenParts,
} from './token.ts';
import { createVerifiedTokens, type VerifiedToken } from './verified.ts';

/** What tells the JWTs of one kind of issuer from those of another. */
export interface TokenProfile extends ClaimExpectations, TimeBounds {
  /** `proof.method` of its principals. */
  readonly method: string;
  /** Whether claims say that they are of this issuer. Judged before anything is proven, and again on strict claims. */
  isOurs(claims: JsonObject): boolean;
  readonly algorithms: readonly string[];
  /** Media types in `typ`, in lower case and without `application/`. */
  readonly types: ReadonlySet<string>;
  /** What the kind asks beyond the registered claims; null: nothing is wrong. */
  faultOf?(claims: JsonObject, registered: RegisteredClaims): ClaimFault | null;
  readonly singleUse: boolean;
}

type Refused = { readonly ok: false; readonly error: AttestationRefusal };

/** A token that says it is of our issuer. Nothing in it is proven yet. */
interface ReadToken {
  readonly text: string;
  readonly hash: string;
  readonly parts: TokenParts;
  readonly header: TokenHeader;
  readonly claims: JsonObject;
}

/**
 * Attests JWTs of one profile that one issuer signed (RFC 7519, RFC 8725). `name` is the issuer's in the configuration.
 *
 * A token that is not of our issuer is answered `null` before anything else is judged and without any request.
 * What has the form of a JWT but claims that cannot be read is refused as malformed: no other attestor could read it.
 */
export function createTokenAttestor(name: string, profile: TokenProfile, keys: KeySource): Attestor {
  const verified = createVerifiedTokens(VERIFIED_TOKENS_MAX);

  function refuse(reason: AttestationReason, detail: string): Refused {
    return err({ reason, detail, issuer: name });
  }

  /** What verifying the same token gave before, if its keys are still those of the issuer. */
  async function recall(hash: string, signal: AbortSignal): Promise<VerifiedToken | undefined> {
    if (!verified.has(hash)) return undefined;
    const current = await keys.current(signal);
    return current.ok ? verified.get(hash, current.value.generation) : undefined;
  }

  /** Reads a token without trusting it; null when it is not of our issuer. */
  function read(text: string, hash: string): Result<ReadToken, AttestationRefusal> | null {
    const parts = splitToken(text);
    if (!parts || isOfAnother(parts, profile.isOurs)) return null;
    const claims = readClaims(parts);
    if (!claims.ok) return err({ reason: 'malformed', detail: claims.error });
    if (!profile.isOurs(claims.value)) return null;
    const header = readHeader(parts, profile.types);
    if (!header.ok) return refuse('malformed', header.error);
    if (!profile.algorithms.includes(header.value.alg)) {
      return refuse(
        'algorithm',
        `The token is signed with ${brief(header.value.alg)}, which is not accepted`,
      );
    }
    return ok({ text, hash, parts, header: header.value, claims: claims.value });
  }

  /** Proves a token: first who signed it, then what it says. Only what depends on the time is left to check. */
  async function verify(
    token: ReadToken,
    signal: AbortSignal,
  ): Promise<Result<VerifiedToken, AttestationRefusal>> {
    const proven = await provenBy(keys, token, signal);
    if (!proven.ok) return refuse(proven.error.reason, proven.error.detail);
    const registered = checkClaims(token.claims, profile);
    if (!registered.ok) return refuse(registered.error.reason, registered.error.detail);
    const fault = profile.faultOf?.(token.claims, registered.value);
    if (fault) return refuse(fault.reason, fault.detail);
    const verifiedToken = {
      principal: toPrincipal(name, profile, token, registered.value),
      times: Object.freeze(registered.value),
    };
    verified.put(token.hash, proven.value.generation, verifiedToken);
    return ok(verifiedToken);
  }

  const { refresh } = keys;
  return {
    issuer: name,
    ...(refresh && { reach: (signal: AbortSignal) => refresh(signal) }),
    async attest(evidence, now, signal) {
      if (evidence.kind !== 'bearer') return null;
      if (evidence.token.length > TOKEN_MAX_CHARS) {
        return err({ reason: 'too-large', detail: `The token has more than ${TOKEN_MAX_CHARS} characters` });
      }
      const hash = sha256(evidence.token);
      let token = await recall(hash, signal);
      if (!token) {
        const unproven = read(evidence.token, hash);
        if (!unproven?.ok) return unproven;
        const proven = await verify(unproven.value, signal);
        if (!proven.ok) return proven;
        token = proven.value;
      }
      const fault = checkTimes(token.times, profile, now);
      return fault ? refuse(fault.reason, fault.detail) : ok(token.principal);
    },
  };
}

function toPrincipal(
  issuer: string,
  profile: TokenProfile,
  token: ReadToken,
  registered: RegisteredClaims,
): Principal {
  const { exp, iat } = registered;
  const endsAt = iat === undefined ? exp : Math.min(exp, iat + profile.maxAgeSeconds);
  return Object.freeze({
    issuer,
    subject: registered.sub,
    claims: token.claims,
    proof: Object.freeze({
      method: profile.method,
      evidenceHash: token.hash,
      expiresAt: Math.floor(endsAt * 1000),
      ...(profile.singleUse && { singleUse: Object.freeze(toSingleUse(issuer, token, registered)) }),
    }),
  });
}

/**
 * A token without `jti` is known by what was signed, not by its whole text: of an ECDSA signature (r, s) anyone can make
 * a second valid one, (r, n - s), and with it a second text of the same token. The use is remembered for the
 * largest tolerance that can be configured, so that neither a new setting nor a slow clock elsewhere opens it again.
 */
function toSingleUse(issuer: string, { parts }: ReadToken, { jti, exp }: RegisteredClaims): SingleUse {
  const mark =
    jti === undefined ? `token:${sha256(`${parts.header}.${parts.payload}`)}` : `jti:${sha256(jti)}`;
  return { id: `${issuer}:${mark}`, until: Math.ceil((exp + CLOCK_TOLERANCE_SECONDS_MAX) * 1000) };
}
