import { MAX_ACTORS } from '../grants/limits.ts';
import type { ActingParty, Principal, Proof } from '../identity/attestor.ts';
import type { Json } from '../json.ts';
import { err, ok, type Result } from '../result.ts';

/**
 * Who acts for whom (RFC 8693, section 4). Chains come from two places: an actor token beside the subject's, and `act`
 * in a verified token, whose issuer then answers for it. A chain gives no right: a grant has to name it, link by link.
 */

type Members = Readonly<Record<string, Json>>;

/** A principal with those who act for it by the `act` of its own token. What cannot be read, or is too long, is refused. */
export function withStatedActors(principal: Principal): Result<Principal, string> {
  const actors: ActingParty[] = [];
  for (let act = principal.claims.act; act !== undefined; act = (act as Members).act) {
    if (!isMembers(act) || typeof act.sub !== 'string' || act.sub === '')
      return err('The claim "act" is not an object with a string "sub"');
    if (actors.length === MAX_ACTORS)
      return err(`More than ${MAX_ACTORS} act for the subject, one for another`);
    const { act: _, ...claims } = act;
    actors.push({ issuer: principal.issuer, subject: act.sub, claims, proof: null });
  }
  return ok(actors.length === 0 ? principal : { ...principal, actors });
}

/** The subject with this actor before those who act for it already. Refused with a sentence for the log. */
export function actedFor(subject: Principal, actor: Principal): Result<Principal, string> {
  if (actor.actors !== undefined)
    return err('The actor token is itself delegated: it takes one of the actor himself');
  if (isSameEvidence(subject, actor))
    return err('The actor token is the same evidence as that of the subject');
  const fault = mayActFault(subject, actor);
  if (fault !== null) return err(fault);
  const { issuer, subject: name, claims, proof } = actor;
  const actors: ActingParty[] = [{ issuer, subject: name, claims, proof }, ...(subject.actors ?? [])];
  if (actors.length > MAX_ACTORS) return err(`More than ${MAX_ACTORS} act for the subject, one for another`);
  return ok({ ...subject, actors });
}

/** Used for one, evidence is used up: it cannot speak for two. */
function isSameEvidence({ proof: a }: Principal, { proof: b }: Principal): boolean {
  return (
    a.evidenceHash === b.evidenceHash || (a.singleUse !== undefined && a.singleUse.id === b.singleUse?.id)
  );
}

/**
 * `may_act` of the subject's token (RFC 8693, section 4.4): where it is present it must name the actor, each member of it
 * a claim of his. Without `iss` it speaks of the issuer's own.
 */
function mayActFault(subject: Principal, actor: Principal): string | null {
  const allowed = subject.claims.may_act;
  if (allowed === undefined) return null;
  if (!isMembers(allowed) || typeof allowed.sub !== 'string')
    return 'The claim "may_act" is not an object with a string "sub"';
  const named =
    allowed.sub === actor.subject &&
    (allowed.iss !== undefined || actor.issuer === subject.issuer) &&
    Object.entries(allowed).every(
      ([name, value]) => name === 'sub' || (isScalar(value) && actor.claims[name] === value),
    );
  return named ? null : 'The claim "may_act" of the subject\'s token names another actor';
}

function isMembers(value: Json | undefined): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isScalar(value: Json): boolean {
  return value === null || typeof value !== 'object';
}

/** How somebody was proven, for the log. */
export function proofFor({ method, evidenceHash }: Proof) {
  return { method, evidence: evidenceHash };
}

/** Those who act for a principal, with the claims that decided and the evidence, for the log. */
export function actorsFor({ actors = [] }: Principal, looked: readonly Omit<ActingParty, 'proof'>[]) {
  return looked.map(({ issuer, subject, claims }, i) => {
    const proof = actors[i]?.proof ?? null;
    return { issuer, subject, claims, proof: proof && proofFor(proof) };
  });
}
