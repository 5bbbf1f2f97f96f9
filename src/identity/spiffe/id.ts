import { err, ok, type Result } from '../../result.ts';

/** A SPIFFE ID in its parts. `text` is the one way to write it. */
export interface SpiffeId {
  readonly text: string;
  readonly trustDomain: string;
  /** With its slash; empty where the ID is the trust domain's own. */
  readonly path: string;
}

/** SPIFFE ID, section 2.3: bytes, which are characters, since only ASCII is allowed. */
const ID_MAX_CHARS = 2_048;

/** SPIFFE ID, section 2.1. */
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;

/** SPIFFE ID, section 2.2. */
const SEGMENT = /^[A-Za-z0-9._-]+$/;

/**
 * Reads a SPIFFE ID by the letter of https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md: no port, user,
 * query, fragment or percent-encoding, no empty, `.` or `..` segment, no slash at the end. The scheme and the trust
 * domain are case-insensitive there; here they are lower case, as every issuer writes them, so that an ID has one spelling.
 */
export function parseSpiffeId(text: string): Result<SpiffeId, string> {
  if (text.length > ID_MAX_CHARS) return err(`it has more than ${ID_MAX_CHARS} characters`);
  if (!text.startsWith('spiffe://')) return err('it does not begin with spiffe://');
  const rest = text.slice('spiffe://'.length);
  const slash = rest.indexOf('/');
  const trustDomain = slash < 0 ? rest : rest.slice(0, slash);
  const path = slash < 0 ? '' : rest.slice(slash);
  if (!isTrustDomain(trustDomain))
    return err('its trust domain is not 1 to 255 of a-z, 0-9, ".", "-" and "_"');
  const segments = path.split('/').slice(1);
  if (segments.some((segment) => segment === '.' || segment === '..'))
    return err('one of its segments is "." or ".."');
  if (!segments.every((segment) => SEGMENT.test(segment)))
    return err('one of its segments is empty, or has more than letters, digits, ".", "-" and "_"');
  return ok({ text, trustDomain, path });
}

export function isTrustDomain(text: string): boolean {
  return TRUST_DOMAIN.test(text);
}
