import type { Confirmation, Principal, SingleUse } from '../identity/attestor.ts';
import type { Json } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import type { Broker } from './broker.ts';
import { checkProof } from './dpop.ts';
import type { Refusal } from './refusal.ts';
import type { Presented, PrincipalCaller } from './verbs.ts';

/** What the sender of a request has proven to hold, beside his token. */
export interface Possession {
  /** The thumbprint of the key that made the request's proof. */
  readonly jkt: string | null;
  /** That of the client certificate in this connection. */
  readonly certificate: string | null;
  /** The proof's own: made for one request, it serves one. */
  readonly singleUse: SingleUse | null;
}

/** A request with nothing but a token. */
export const BEARER: Presented = { scheme: 'Bearer', proof: null, certificate: null };

/** The key and the certificate that came with a request. A proof that is there must be right, whether or not anything asks for it. */
export async function possessionOf(
  broker: Broker,
  presented: Presented,
  token: string | null,
): Promise<Result<Possession, Refusal>> {
  const { certificate } = presented;
  if (presented.proof === null) return ok({ jkt: null, certificate, singleUse: null });
  const { jwt, method, path } = presented.proof;
  const now = broker.runtime.now();
  const checked = await checkProof(jwt, {
    method,
    url: `${broker.url}${path}`,
    token,
    now,
    nonceGoodUntil: (nonce) => broker.nonces.goodUntil(nonce, now),
  });
  if (!checked.ok) {
    const { detail, stale } = checked.error;
    return badProof(`The proof of possession is refused: ${detail}`, stale ? broker.nonces.at(now) : null);
  }
  return ok({ ...checked.value, certificate });
}

/** Whether what was proven is all that a token is bound to, and the request says what the token is (RFC 9449, section 7.1). */
export function confirm(
  bound: Confirmation | null,
  { scheme }: Presented,
  held: Possession,
): Result<void, Refusal> {
  if (bound?.jkt !== undefined) {
    if (scheme !== 'DPoP')
      return badProof('The token is bound to a key: it was presented without the scheme DPoP');
    if (held.jkt !== bound.jkt) return badProof('The token is bound to another key, or no proof came');
  } else if (scheme === 'DPoP') {
    return badProof('The token is bound to no key: the scheme DPoP says that it is');
  }
  const certificate = bound?.['x5t#S256'];
  if (certificate !== undefined && certificate !== held.certificate)
    return badProof('The token is bound to another client certificate, or none came');
  return ok(undefined);
}

function badProof(detail: string, nonce: string | null = null) {
  return err<Refusal>({ reason: 'bad-proof', detail, nonce });
}

/**
 * The keys that the token of a task is bound to: that of its opener's proof, and that which his evidence came with. A
 * certificate that is merely there binds nothing: it may be that of a proxy.
 */
export function confirmationOf({ principal, possession }: PrincipalCaller): Confirmation | null {
  const jkt = possession?.jkt;
  const held = { ...principal.proof.boundTo, ...(jkt ? { jkt } : {}) };
  return Object.keys(held).length === 0 ? null : held;
}

/**
 * What an identity token itself is bound to (`cnf`, RFC 7800, section 3.1). A way that we cannot check is a refusal: to
 * take such a token from whoever has it would undo what its issuer meant.
 */
export function boundBy(claims: Principal['claims']): Result<Confirmation | null, string> {
  const { cnf } = claims;
  if (cnf === undefined) return ok(null);
  const known: Record<string, string> = {};
  for (const [name, value] of Object.entries((cnf ?? {}) as Readonly<Record<string, Json>>)) {
    if ((name !== 'jkt' && name !== 'x5t#S256') || typeof value !== 'string')
      return err('The token is bound by its claim "cnf" in a way that cannot be checked here');
    known[name] = value;
  }
  return Object.keys(known).length > 0 ? ok(known) : err('The claim "cnf" of the token cannot be read');
}
