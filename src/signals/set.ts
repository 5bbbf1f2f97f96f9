import { checkAudience, isNumericDate } from '../identity/jwt/claims.ts';
import type { KeySource } from '../identity/jwt/keys.ts';
import { CLOCK_TOLERANCE_SECONDS_MAX, TOKEN_ID_MAX_CHARS, TOKEN_MAX_CHARS } from '../identity/jwt/limits.ts';
import { brief, provenBy } from '../identity/jwt/signature.ts';
import type { JsonObject } from '../identity/jwt/strict-json.ts';
import { readClaims, readHeader, splitToken } from '../identity/jwt/token.ts';
import { type Json, sha256 } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { CREDENTIAL_CHANGE, SESSION_REVOKED, SET_TYPES, STREAM_UPDATED, VERIFICATION } from './events.ts';

/** Somebody whose signals are believed, about the issuers that he speaks for. */
export interface Transmitter {
  readonly name: string;
  /** `iss` of his tokens. */
  readonly issuer: string;
  /** `aud` of those that are for us. */
  readonly audience: string;
  readonly keys: KeySource;
  /** Our issuers whose subjects he may name, by the `iss` that he writes for them. */
  readonly issuers: ReadonlyMap<string, string>;
  /** For how long a subject whose session he revoked is kept out. */
  readonly blockSeconds: number;
}

/** What RFC 8935, section 2.4, has for a token that is not taken; `unavailable` is a matter of ours, and passes. */
export type SetFault =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'
  | 'access_denied'
  | 'unavailable';

export interface SetRefusal {
  readonly err: SetFault;
  readonly description: string;
}

/** A signal that was proven, and what it asks for. */
export interface Signal {
  readonly transmitter: Transmitter;
  /** The same for what is sent again. */
  readonly id: string;
  /** Milliseconds since the epoch, until when a repetition would be taken for good. */
  readonly until: number;
  /** Whom to end, in words of ours; null: it asks for nothing. */
  readonly ends: { readonly issuer: string; readonly subject: string; readonly why: string } | null;
}

/** With a public key. A transmitter has the keys that he publishes; `none` and HMAC are not among these. */
const ALGORITHMS: readonly string[] = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

/** A transmitter sends again for a while what we did not take; older news is none. */
const MAX_AGE_SECONDS = 86_400;
const CLOCK_TOLERANCE_SECONDS = 60;
/** What a transmitter says for the log. */
const MAX_REASON_CHARS = 300;

type Refused = { readonly ok: false; readonly error: SetRefusal };

/**
 * Reads a security event token (RFC 8417). Who it claims to be of is looked up before anything is fetched: for a stranger
 * nobody is asked (invariant 6). Then who signed it, then what it says, all from the bytes that were signed.
 */
export async function readSet(
  transmitters: readonly Transmitter[],
  text: string,
  now: number,
  signal: AbortSignal,
): Promise<Result<Signal, SetRefusal>> {
  const parts = text.length > TOKEN_MAX_CHARS ? null : splitToken(text);
  if (parts === null) return refuse('invalid_request', 'The body is no signed token');
  const header = readHeader(parts, SET_TYPES, 'required');
  if (!header.ok) return refuse('invalid_request', header.error);
  const claims = readClaims(parts);
  if (!claims.ok) return refuse('invalid_request', claims.error);
  const transmitter = transmitters.find(({ issuer }) => issuer === claims.value.iss);
  if (transmitter === undefined)
    return refuse('invalid_issuer', 'No transmitter of this "iss" is known here');
  if (!ALGORITHMS.includes(header.value.alg))
    return refuse('invalid_key', `The algorithm ${brief(header.value.alg)} is not accepted`);
  const proven = await provenBy(transmitter.keys, { text, header: header.value }, signal);
  if (!proven.ok) {
    const { reason, detail } = proven.error;
    if (reason === 'keys-unavailable') return refuse('unavailable', detail);
    return refuse(reason === 'unknown-key' ? 'invalid_key' : 'authentication_failed', detail);
  }
  return readProven(transmitter, claims.value, now);
}

function readProven(transmitter: Transmitter, claims: JsonObject, now: number): Result<Signal, SetRefusal> {
  const audience = checkAudience(claims.aud, {
    audiences: [transmitter.audience],
    allowOtherAudiences: false,
  });
  if (audience !== null) return refuse('invalid_audience', audience.detail);
  const { iat, jti, exp } = claims;
  if (typeof jti !== 'string' || jti === '' || jti.length > TOKEN_ID_MAX_CHARS)
    return refuse('invalid_request', 'The token has no "jti" that can be used');
  if (!isNumericDate(iat)) return refuse('invalid_request', 'The token has no "iat" that can be used');
  const seconds = now / 1000;
  if (iat > seconds + CLOCK_TOLERANCE_SECONDS || iat < seconds - MAX_AGE_SECONDS)
    return refuse('invalid_request', `"iat" is not of the last ${MAX_AGE_SECONDS} seconds`);
  if (exp !== undefined && !(isNumericDate(exp) && seconds < exp + CLOCK_TOLERANCE_SECONDS))
    return refuse('invalid_request', 'The token has expired');
  const ends = endsOf(transmitter, claims, jti);
  if (!ends.ok) return ends;
  return ok({
    transmitter,
    id: `signal:${transmitter.name}:${sha256(jti)}`,
    until: Math.ceil((iat + MAX_AGE_SECONDS + CLOCK_TOLERANCE_SECONDS_MAX) * 1000),
    ends: ends.value,
  });
}

function endsOf(
  transmitter: Transmitter,
  claims: JsonObject,
  jti: string,
): Result<Signal['ends'], SetRefusal> {
  const entries = isObject(claims.events) ? Object.entries(claims.events) : [];
  const [entry] = entries;
  // SSF 1.0, section 4.1.2: exactly one.
  if (entry === undefined || entries.length !== 1 || !isObject(entry[1]))
    return refuse('invalid_request', 'The token does not hold exactly one event');
  const [type, event] = entry;
  if (type === VERIFICATION || type === STREAM_UPDATED) return ok(null);
  if (type !== SESSION_REVOKED && type !== CREDENTIAL_CHANGE)
    return refuse('invalid_request', `The event ${brief(type)} is not understood here`);
  // A credential that is new or changed takes nothing from anybody (CAEP 1.0, section 3.3).
  if (type === CREDENTIAL_CHANGE && event.change_type !== 'revoke' && event.change_type !== 'delete')
    return ok(null);
  const subject = subjectOf(transmitter, claims, event);
  if (!subject.ok) return subject;
  const name = type === SESSION_REVOKED ? 'session-revoked' : 'credential-change';
  const why = `${name} by "${transmitter.name}", ${brief(jti)}${reasonOf(event)}`;
  return ok({ ...subject.value, why });
}

/**
 * Whom it is about: `sub_id` of the token (SSF 1.0), or `subject` of the event, as drafts had it. Only `iss_sub` names
 * somebody in the way that a lease does; what would have to be guessed is refused, so that its sender learns of it.
 */
function subjectOf(
  { issuers }: Transmitter,
  claims: JsonObject,
  event: { readonly [member: string]: Json },
): Result<{ readonly issuer: string; readonly subject: string }, SetRefusal> {
  if (claims.sub_id !== undefined && event.subject !== undefined)
    return refuse('invalid_request', 'The token names its subject twice: send "sub_id" alone');
  const named = claims.sub_id ?? event.subject;
  const { format, iss, sub } = isObject(named) ? named : {};
  if (format !== 'iss_sub')
    return refuse(
      'invalid_request',
      `The subject's format is ${brief(String(format))}: send "iss_sub" (RFC 9493, section 3.2.4)`,
    );
  if (typeof sub !== 'string' || sub === '' || sub.length > 2_048)
    return refuse('invalid_request', 'The subject has no "sub" that can be used');
  const issuer = typeof iss === 'string' ? issuers.get(iss) : undefined;
  if (issuer === undefined)
    return refuse('access_denied', 'This transmitter does not speak for the "iss" of the subject');
  return ok({ issuer, subject: sub });
}

function reasonOf({ reason_admin: reason }: { readonly [member: string]: Json }): string {
  const text = isObject(reason) ? (reason.en ?? Object.values(reason)[0]) : reason;
  return typeof text === 'string' ? `: ${text.slice(0, MAX_REASON_CHARS)}` : '';
}

function isObject(value: Json | undefined): value is { readonly [member: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuse(fault: SetFault, description: string): Refused {
  return err({ err: fault, description });
}
