import { err, ok, type Result } from '../../result.ts';
import type { AttestationReason } from '../attestor.ts';
import { type Certificate, readCertificate } from './certificate.ts';
import { CHAIN_MAX, INTERMEDIATES_MAX, VERIFICATIONS_MAX } from './limits.ts';

export interface ChainFault {
  readonly reason: AttestationReason;
  readonly detail: string;
}

/** Reads what a client presented, its own certificate first. Nobody has vouched for any of it yet. */
export function readChain(
  chain: readonly Uint8Array[],
): Result<readonly [Certificate, ...Certificate[]], ChainFault> {
  if (chain.length > CHAIN_MAX)
    return err({ reason: 'too-large', detail: `The chain has more than ${CHAIN_MAX} certificates` });
  const certificates: Certificate[] = [];
  for (const [i, der] of chain.entries()) {
    const certificate = readCertificate(der);
    if (!certificate.ok)
      return err({ reason: 'malformed', detail: `Certificate ${i + 1} of the chain: ${certificate.error}` });
    certificates.push(certificate.value);
  }
  const [leaf, ...others] = certificates;
  return leaf === undefined
    ? err({ reason: 'malformed', detail: 'The chain is empty' })
    : ok([leaf, ...others]);
}

/** The certificates from a leaf to one of the anchors, the anchor last. */
export type Path = readonly Certificate[];

/**
 * Finds a path from the leaf to an anchor at `now`, milliseconds since the epoch (RFC 5280, section 6.1, without
 * policies and name constraints: certificates that have such constraints are not read). Each authority on it
 * is one, may sign certificates, for clients too where it names purposes, is valid now and allows as many below it as
 * there are; each signature is verified. The anchors are held to the same. Only what the anchors vouch for is trusted:
 * the client's intermediates are hints.
 */
export function findPath(
  [leaf, ...intermediates]: readonly [Certificate, ...Certificate[]],
  anchors: readonly Certificate[],
  now: number,
): Result<Path, ChainFault> {
  const untimely = timeFault(leaf, 'The certificate', now);
  let verifications = 0;
  let nearest: ChainFault = {
    reason: 'unknown-key',
    detail: 'No authority that is trusted here has issued it',
  };

  /** Why `authority` does not vouch for the last of `path`; null when it does. */
  function vouchFault(path: Path, subject: Certificate, authority: Certificate): ChainFault | null {
    if (subject.issuerName !== authority.subjectName || !subject.native.checkIssued(authority.native))
      return { reason: 'unknown-key', detail: nearest.detail };
    const below = path.length - 1;
    const unfit = authorityFault(authority, below) ?? timeFault(authority, 'Its authority', now);
    if (unfit !== null) return unfit;
    if (++verifications > VERIFICATIONS_MAX)
      return { reason: 'too-large', detail: 'The chain takes too many signatures to follow' };
    return subject.native.verify(authority.native.publicKey)
      ? null
      : { reason: 'signature', detail: 'A signature of the chain is not of the authority that it names' };
  }

  /** Goes on from the last of `path`, to an anchor if one vouches for it, or by one more of the client's certificates. */
  function follow(path: Path, subject: Certificate): Path | null {
    for (const anchor of anchors) {
      const fault = vouchFault(path, subject, anchor);
      if (fault === null) return [...path, anchor];
      if (fault.reason !== 'unknown-key') nearest = fault;
    }
    if (path.length > INTERMEDIATES_MAX) return null;
    for (const next of intermediates) {
      if (path.includes(next)) continue;
      const fault = vouchFault(path, subject, next);
      const found = fault === null ? follow([...path, next], next) : null;
      if (found !== null) return found;
      if (fault !== null && fault.reason !== 'unknown-key') nearest = fault;
    }
    return null;
  }

  const path = follow([leaf], leaf);
  if (path === null) return err(nearest);
  return untimely === null ? ok(path) : err(untimely);
}

/** Whether one of the certificates names one of the anchors as its issuer: the chain is of this authority, or pretends to be. */
export function namesAnchor(chain: readonly Certificate[], anchors: readonly Certificate[]): boolean {
  const names = new Set(anchors.map(({ subjectName }) => subjectName));
  return chain.some(({ issuerName }) => names.has(issuerName));
}

/** When the first certificate of a path ends, in milliseconds since the epoch. */
export function pathEndsAt(path: Path): number {
  return Math.min(...path.map(({ notAfter }) => notAfter));
}

/** RFC 5280, section 4.2.1.12: id-kp-clientAuth, and anyExtendedKeyUsage, by which an authority says that it is held to no purpose. */
const FOR_CLIENTS = ['1.3.6.1.5.5.7.3.2', '2.5.29.37.0'];

function authorityFault(authority: Certificate, below: number): ChainFault | null {
  const unfit = (detail: string): ChainFault => ({ reason: 'certificate', detail });
  const { extendedKeyUsage: purposes } = authority;
  if (!authority.isAuthority) return unfit('A certificate that is no authority has issued another');
  if (authority.keyUsage !== undefined && !authority.keyUsage.has('keyCertSign'))
    return unfit('An authority that may not sign certificates has issued one');
  if (purposes !== undefined && !FOR_CLIENTS.some((purpose) => purposes.has(purpose)))
    return unfit('An authority that is not for clients (extended key usage clientAuth) has issued one');
  if (authority.pathLength !== undefined && below > authority.pathLength)
    return unfit(`An authority allows ${authority.pathLength} authorities below it, and there are ${below}`);
  return null;
}

function timeFault({ notBefore, notAfter }: Certificate, what: string, now: number): ChainFault | null {
  if (now > notAfter)
    return { reason: 'expired', detail: `${what} expired at ${new Date(notAfter).toISOString()}` };
  if (now < notBefore)
    return {
      reason: 'not-yet-valid',
      detail: `${what} is not valid before ${new Date(notBefore).toISOString()}`,
    };
  return null;
}
