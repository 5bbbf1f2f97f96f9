import type { Json } from '../../json.ts';
import { err, ok, type Result } from '../../result.ts';
import type { AttestationReason } from '../attestor.ts';
import { AUDIENCES_MAX, NUMERIC_DATE_MAX, SUBJECT_MAX_CHARS, TOKEN_ID_MAX_CHARS } from './limits.ts';
import type { JsonObject } from './strict-json.ts';

export interface ClaimFault {
  readonly reason: AttestationReason;
  readonly detail: string;
}

/** The registered claims (RFC 7519, section 4.1) of a token, in their right types. Times are in seconds. */
export interface RegisteredClaims {
  readonly sub: string;
  readonly exp: number;
  /** Absent only where the profile does not ask for it. */
  readonly iat?: number;
  readonly nbf?: number;
  readonly jti?: string;
}

/** What a token must say, whatever the time. */
export interface ClaimExpectations {
  /** Of these, `aud` must name one. */
  readonly audiences: readonly string[];
  readonly allowOtherAudiences: boolean;
  /** Claims that must be there besides `sub`, `aud` and `exp`. */
  readonly requiredClaims: readonly string[];
}

/** How old a token may be, and how far two clocks may differ. */
export interface TimeBounds {
  readonly maxAgeSeconds: number;
  readonly clockToleranceSeconds: number;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is its purpose
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Checks all that does not depend on the time: presence and types of the registered claims, audience, required claims. */
export function checkClaims(
  claims: JsonObject,
  expected: ClaimExpectations,
): Result<RegisteredClaims, ClaimFault> {
  for (const name of ['sub', 'aud', 'exp', ...expected.requiredClaims]) {
    if (!Object.hasOwn(claims, name) || claims[name] === null) {
      return err({ reason: 'missing-claim', detail: `The token has no claim "${name}"` });
    }
  }
  const { sub, aud, exp, iat, nbf, jti } = claims;
  if (typeof sub !== 'string' || sub === '' || sub.length > SUBJECT_MAX_CHARS || CONTROL.test(sub)) {
    return malformed(`"sub" is not a string of 1 to ${SUBJECT_MAX_CHARS} printable characters`);
  }
  if (!isNumericDate(exp)) return malformed(NOT_A_TIME('exp'));
  if (iat !== undefined && !isNumericDate(iat)) return malformed(NOT_A_TIME('iat'));
  if (nbf !== undefined && !isNumericDate(nbf)) return malformed(NOT_A_TIME('nbf'));
  if (jti !== undefined && (typeof jti !== 'string' || jti === '' || jti.length > TOKEN_ID_MAX_CHARS)) {
    return malformed(`"jti" is not a string of 1 to ${TOKEN_ID_MAX_CHARS} characters`);
  }
  const fault = checkAudience(aud, expected);
  if (fault) return err(fault);
  return ok({
    sub,
    exp,
    ...(iat !== undefined && { iat }),
    ...(nbf !== undefined && { nbf }),
    ...(jti !== undefined && { jti }),
  });
}

/**
 * Checks the token's times at `now` (milliseconds since the epoch). The tolerance widens each bound once:
 * the first instant accepted is `nbf - tolerance`, the first refused again `exp + tolerance`.
 */
export function checkTimes(times: RegisteredClaims, bounds: TimeBounds, now: number): ClaimFault | null {
  const seconds = now / 1000;
  const { clockToleranceSeconds: tolerance, maxAgeSeconds } = bounds;
  if (seconds >= times.exp + tolerance) {
    return { reason: 'expired', detail: `The token expired at ${isoTime(times.exp)}` };
  }
  if (times.nbf !== undefined && seconds < times.nbf - tolerance) {
    return { reason: 'not-yet-valid', detail: `The token is not valid before ${isoTime(times.nbf)}` };
  }
  if (times.iat === undefined) return null;
  if (seconds < times.iat - tolerance) {
    return {
      reason: 'not-yet-valid',
      detail: `The token says it was issued later, at ${isoTime(times.iat)}`,
    };
  }
  if (seconds >= times.iat + maxAgeSeconds + tolerance) {
    return {
      reason: 'too-old',
      detail: `The token was issued at ${isoTime(times.iat)}, more than ${maxAgeSeconds} seconds ago`,
    };
  }
  return null;
}

/** A token that is for others too can be presented here by any of them, so it is refused unless that is allowed. */
export function checkAudience(
  aud: Json | undefined,
  expected: Pick<ClaimExpectations, 'audiences' | 'allowOtherAudiences'>,
): ClaimFault | null {
  const audiences = typeof aud === 'string' ? [aud] : aud;
  if (!Array.isArray(audiences) || audiences.length > AUDIENCES_MAX || !audiences.every(isString)) {
    return {
      reason: 'malformed',
      detail: `"aud" is neither a string nor a list of up to ${AUDIENCES_MAX} strings`,
    };
  }
  const ours = audiences.filter((audience) => expected.audiences.includes(audience));
  if (ours.length === 0) {
    return {
      reason: 'audience',
      detail: `The token is for ${quote(audiences)}, not ${quote(expected.audiences)}`,
    };
  }
  if (ours.length < audiences.length && !expected.allowOtherAudiences) {
    return { reason: 'audience', detail: `The token is for others too: ${quote(audiences)}` };
  }
  return null;
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

/** RFC 7519, section 2: seconds since the epoch, fractions allowed. */
export function isNumericDate(value: Json | undefined): value is number {
  return typeof value === 'number' && value >= 0 && value <= NUMERIC_DATE_MAX;
}

const NOT_A_TIME = (name: string): string =>
  `"${name}" is not a number of seconds between 0 and ${NUMERIC_DATE_MAX}`;

function malformed(detail: string): { readonly ok: false; readonly error: ClaimFault } {
  return err({ reason: 'malformed', detail });
}

function quote(values: readonly string[]): string {
  return JSON.stringify(values).slice(0, 200);
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
