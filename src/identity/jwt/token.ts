import { err, ok, type Result } from '../../result.ts';
import { KEY_ID_MAX_CHARS } from './limits.ts';
import { type JsonObject, parseStrictObject } from './strict-json.ts';

/** The three parts of a compact JWS (RFC 7515, section 7.1) as they stand, nothing decoded. */
export interface TokenParts {
  readonly header: string;
  readonly payload: string;
  readonly signature: string;
}

/** What of a token's header we use. Everything else in it is ignored or a ground for refusal. */
export interface TokenHeader {
  readonly alg: string;
  readonly kid?: string;
}

const COMPACT_JWS = /^([\w-]+)\.([\w-]+)\.([\w-]*)$/;

/** Media types of tokens that are meant to say who somebody is; a logout token or a DPoP proof is not (RFC 8725, 3.11). */
export const IDENTITY_TYPES: ReadonlySet<string> = new Set(['jwt', 'jose', 'at+jwt']);

/**
 * Headers by which a token would bring its own key or its own rules (RFC 7515, section 4.1).
 * We understand no extension, so `crit` is always a ground to refuse.
 */
const FORBIDDEN_HEADERS = ['jwk', 'jku', 'x5u', 'crit'] as const;

/** Splits what looks like a compact JWS; null for any other text. */
export function splitToken(text: string): TokenParts | null {
  const [, header, payload, signature] = COMPACT_JWS.exec(text) ?? [];
  if (header === undefined || payload === undefined || signature === undefined) return null;
  return { header, payload, signature };
}

/**
 * Whether a token is certainly another issuer's: its claims can be read and `isOurs` denies them.
 * A glance that spares the strict reading, for this is asked of every issuer's attestor about every token.
 */
export function isOfAnother(parts: TokenParts, isOurs: (claims: JsonObject) => boolean): boolean {
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts.payload, 'base64url').toString('utf8'));
    if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) return false;
    return !isOurs(claims as JsonObject);
  } catch {
    return false;
  }
}

/** The claims as they were signed, or claimed to be: parsed once, frozen, and what everything later uses. */
export function readClaims(parts: TokenParts): Result<JsonObject, string> {
  return readPart('payload', parts.payload);
}

/**
 * The header, when it is one that we act on. `alg` is a string that no list was consulted for.
 * Its `typ` is one of `types`, or may be missing where tokens of their kind lack it.
 * Also checks that the signature is canonical base64url, so that nobody can write the same token in two ways.
 */
export function readHeader(
  parts: TokenParts,
  types: ReadonlySet<string>,
  typing: 'optional' | 'required' = 'optional',
): Result<TokenHeader, string> {
  if (!decodeCanonical(parts.signature)) return err('The signature is not canonical base64url');
  const read = readPart('header', parts.header);
  if (!read.ok) return read;
  const { alg, kid, typ } = read.value;
  const forbidden = FORBIDDEN_HEADERS.find((name) => Object.hasOwn(read.value, name));
  if (forbidden) return err(`The header has "${forbidden}", which is never followed`);
  if (typeof alg !== 'string') return err('The header has no "alg"');
  if ((typ !== undefined || typing === 'required') && !isOneOf(typ, types))
    return err(`The header's "typ" is not ${[...types].join(' or ')}`);
  if (kid === undefined) return ok({ alg });
  if (typeof kid !== 'string' || kid.length > KEY_ID_MAX_CHARS) {
    return err(`The header's "kid" is not a string of at most ${KEY_ID_MAX_CHARS} characters`);
  }
  return ok({ alg, kid });
}

function isOneOf(typ: unknown, types: ReadonlySet<string>): boolean {
  return typeof typ === 'string' && types.has(typ.toLowerCase().replace(/^application\//, ''));
}

function readPart(name: string, encoded: string): Result<JsonObject, string> {
  const bytes = decodeCanonical(encoded);
  if (!bytes) return err(`The ${name} is not canonical base64url`);
  const read = parseStrictObject(bytes);
  return read.ok ? read : err(`The ${name} ${read.error}`);
}

/** Decodes base64url of which there is one spelling only: no padding, and zeros in the bits that no byte uses. */
function decodeCanonical(encoded: string): Uint8Array | null {
  const bytes = Buffer.from(encoded, 'base64url');
  return bytes.toString('base64url') === encoded ? bytes : null;
}
