import { calculateJwkThumbprint, compactVerify, decodeProtectedHeader, importJWK, type JWK } from 'jose';
import type { SingleUse } from '../identity/attestor.ts';
import type { Json } from '../json.ts';
import { sha256 } from '../json.ts';
import { err, ok, type Result } from '../result.ts';

/** Proofs of possession by the letter of DPoP (RFC 9449, section 4.3). Pure but for the arithmetic, which is jose's. */

/** The algorithms of proofs: asymmetric all of them. */
export const PROOF_ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'Ed25519', 'PS256', 'RS256'] as const;

/** Longer than any proof by a key of 4096 bits. */
const PROOF_MAX_CHARS = 4_096;
const JTI_MAX_CHARS = 256;
/** How old a proof without a nonce may be, and by how much its clock may be ahead. */
const MAX_AGE_SECONDS = 60;
const MAX_AHEAD_SECONDS = 30;
/** For how much longer than a proof is good its use is remembered: replicas' clocks differ. */
const REMEMBER_MS = 60_000;
const RSA_CHARS = { least: Math.floor((2048 / 8) * (4 / 3)), most: Math.ceil((4096 / 8) * (4 / 3)) };
/** At most 32 bits: the work of a verification grows with the exponent, and 65537 is what is used. */
const EXPONENT_MAX_CHARS = 6;

/** What the proof has to be about. */
export interface ProofContext {
  readonly method: string;
  /** Of the broker as its clients know it, without query and fragment. */
  readonly url: string;
  /** The token that stands beside the proof in the request; null when there is none. */
  readonly token: string | null;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Until when a nonce is good, in milliseconds since the epoch; null when it is not ours or has lapsed. */
  readonly nonceGoodUntil: (nonce: string) => number | null;
}

export interface ProvenKey {
  /** RFC 7638, with SHA-256. */
  readonly jkt: string;
  readonly singleUse: SingleUse;
}

/** Why a proof is not accepted, for the log. `stale`: nothing is wrong with it but its time, so a fresh nonce would help. */
export interface ProofFault {
  readonly detail: string;
  readonly stale: boolean;
}

/** The key that made this proof for exactly this request. */
export async function checkProof(
  proof: string,
  context: ProofContext,
): Promise<Result<ProvenKey, ProofFault>> {
  const read = readHeader(proof);
  if (!read.ok) return fault(read.error);
  const { alg, jwk } = read.value;
  let payload: Uint8Array;
  let jkt: string;
  try {
    const verified = await compactVerify(proof, await importJWK(jwk, alg), { algorithms: [alg] });
    payload = verified.payload;
    jkt = await calculateJwkThumbprint(jwk, 'sha256');
  } catch {
    return fault('its key cannot be used, or did not sign it');
  }
  const claims = readClaims(payload);
  if (!claims.ok) return fault(claims.error);
  return checkClaims(claims.value, jkt, context);
}

function fault(detail: string, stale = false): { readonly ok: false; readonly error: ProofFault } {
  return err({ detail, stale });
}

/** What the header must say, before anything is computed with it. Of the key only what makes it one is taken. */
function readHeader(proof: string): Result<{ readonly alg: string; readonly jwk: JWK }, string> {
  if (proof.length > PROOF_MAX_CHARS) return err(`it has more than ${PROOF_MAX_CHARS} characters`);
  const parts = proof.split('.');
  if (parts.length !== 3 || !parts.every(isCanonical)) return err('it is not one compact JWS');
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(proof);
  } catch {
    return err('its header cannot be read');
  }
  const { typ, alg, jwk, crit } = header;
  if (typ !== 'dpop+jwt') return err('its "typ" is not "dpop+jwt"');
  if (crit !== undefined) return err('it has "crit", and we know no extension');
  if (!PROOF_ALGORITHMS.some((known) => known === alg)) return err('its "alg" is not accepted');
  const key = publicKey(jwk);
  if (typeof key === 'string') return err(key);
  return ok({ alg: alg as string, jwk: key });
}

/** One way to spell a proof: what a lenient decoder would also read is not one. */
function isCanonical(part: string): boolean {
  return part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part;
}

const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

/** The public key of the header, or what is wrong with it. */
function publicKey(jwk: unknown): JWK | string {
  if (typeof jwk !== 'object' || jwk === null) return 'it has no "jwk"';
  const members = jwk as Readonly<Record<string, unknown>>;
  if (PRIVATE.some((name) => Object.hasOwn(members, name))) return 'its "jwk" is private or symmetric';
  const { kty, crv, x, y, n, e } = members;
  if (kty === 'EC' && isText(crv) && isText(x) && isText(y)) return { kty, crv, x, y };
  if (kty === 'OKP' && isText(crv) && isText(x)) return { kty, crv, x };
  if (kty === 'RSA' && isText(n) && isText(e)) {
    if (e.length > EXPONENT_MAX_CHARS) return 'the exponent of its RSA key has more than 32 bits';
    const fits = n.length >= RSA_CHARS.least && n.length <= RSA_CHARS.most;
    return fits ? { kty, n, e } : 'its RSA key is not of 2048 to 4096 bits';
  }
  return 'its "jwk" is not a public key of a type we know';
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function readClaims(payload: Uint8Array): Result<Readonly<Record<string, Json>>, string> {
  try {
    const claims: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    if (typeof claims === 'object' && claims !== null && !Array.isArray(claims))
      return ok(claims as Readonly<Record<string, Json>>);
  } catch {
    // Said below.
  }
  return err('its claims are not a JSON object');
}

function checkClaims(
  { htm, htu, iat, jti, ath, nonce }: Readonly<Record<string, Json>>,
  jkt: string,
  { method, url, token, now, nonceGoodUntil }: ProofContext,
): Result<ProvenKey, ProofFault> {
  if (typeof jti !== 'string' || jti === '' || jti.length > JTI_MAX_CHARS)
    return fault(`its "jti" is not a string of 1 to ${JTI_MAX_CHARS} characters`);
  if (htm !== method) return fault(`its "htm" is not ${method}`);
  if (typeof htu !== 'string' || bareUrl(htu) !== bareUrl(url)) return fault(`its "htu" is not ${url}`);
  if (token !== null && ath !== sha256(token)) return fault('its "ath" is not of the token beside it');
  if (typeof iat !== 'number' || !Number.isFinite(iat)) return fault('its "iat" is not a number');
  if (nonce !== undefined && typeof nonce !== 'string') return fault('its "nonce" is not a string');
  const until = nonce === undefined ? goodUntil(iat, now) : nonceGoodUntil(nonce);
  if (until === null)
    return fault(nonce === undefined ? 'its "iat" is not of now' : 'its "nonce" is not a fresh one', true);
  return ok({ jkt, singleUse: { id: `dpop:${jkt}:${sha256(jti)}`, until: until + REMEMBER_MS } });
}

function goodUntil(iat: number, now: number): number | null {
  const ageMs = now - iat * 1000;
  return ageMs <= MAX_AGE_SECONDS * 1000 && ageMs >= -MAX_AHEAD_SECONDS * 1000
    ? Math.ceil((iat + MAX_AGE_SECONDS) * 1000)
    : null;
}

/** Normalised, without query and fragment (RFC 9449, section 4.3, point 9); null for what is no URL. */
function bareUrl(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  return `${url.protocol}//${url.username}${url.password}${url.host}${url.pathname}`;
}
