import { sha256 } from '../../json.ts';
import { err, ok, type Result } from '../../result.ts';
import type { AttestationReason, AttestationRefusal, Principal } from '../attestor.ts';
import type { Source } from '../jwt/refreshed.ts';
import type { Certificate } from '../x509/certificate.ts';
import { findPath, pathEndsAt, readChain } from '../x509/path.ts';
import type { Bundle } from './bundle.ts';
import { parseSpiffeId } from './id.ts';

type Verdict = Result<Principal, AttestationRefusal> | null;

/**
 * Attests X.509-SVIDs of one trust domain, by https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md,
 * section 5. A chain whose leaf names no SPIFFE ID, or one of another trust domain, is `null`: not mine.
 */
export async function attestX509Svid(
  name: string,
  trustDomain: string,
  source: Source<Bundle>,
  chain: readonly Uint8Array[],
  now: number,
  signal: AbortSignal,
): Promise<Verdict> {
  const refuse = (reason: AttestationReason, detail: string) => err({ reason, detail, issuer: name });
  const read = readChain(chain);
  if (!read.ok) return read.error.reason === 'too-large' ? refuse('too-large', read.error.detail) : null;
  const [leaf] = read.value;
  const ours = `spiffe://${trustDomain}`;
  if (!leaf.uris.some((uri) => uri === ours || uri.startsWith(`${ours}/`))) return null;
  const id = parseSpiffeId(leaf.uris[0] ?? '');
  if (leaf.uris.length !== 1) return refuse('certificate', 'The certificate has more than one URI');
  if (!id.ok) return refuse('malformed', `The certificate's URI is no SPIFFE ID: ${id.error}`);
  if (id.value.path === '') return refuse('certificate', 'The ID is of the trust domain, not of a workload');
  const unfit = leafFault(leaf);
  if (unfit !== null) return refuse('certificate', unfit);
  const current = await source.current(signal);
  if (!current.ok) return refuse('keys-unavailable', current.error);
  let path = findPath(read.value, current.value.value.authorities, now);
  if (!path.ok && path.error.reason === 'unknown-key') {
    const newer = await source.newerThan(current.value, signal);
    if (newer) path = findPath(read.value, newer.value.authorities, now);
  }
  if (!path.ok) return refuse(path.error.reason, path.error.detail);
  return ok(toPrincipal(name, id.value.text, trustDomain, leaf, pathEndsAt(path.value)));
}

/** X509-SVID, sections 4.1 and 4.3: what a leaf must and must not be. */
function leafFault({ isAuthority, keyUsage, extendedKeyUsage }: Certificate): string | null {
  if (isAuthority) return 'The certificate is an authority: it speaks for no workload';
  if (keyUsage?.has('keyCertSign') || keyUsage?.has('cRLSign')) return 'The certificate may sign others';
  if (!keyUsage?.has('digitalSignature')) return 'The certificate is not for digital signatures';
  if (extendedKeyUsage !== undefined && !extendedKeyUsage.has(CLIENT_AUTH))
    return 'The certificate is not for clients';
  return null;
}

/** RFC 5280, section 4.2.1.12: id-kp-clientAuth. */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

function toPrincipal(
  issuer: string,
  id: string,
  trustDomain: string,
  leaf: Certificate,
  expiresAt: number,
): Principal {
  const evidenceHash = sha256(leaf.der);
  return Object.freeze({
    issuer,
    subject: id,
    claims: Object.freeze({
      sub: id,
      trust_domain: trustDomain,
      serial: leaf.serial,
      fingerprint: evidenceHash,
    }),
    proof: Object.freeze({
      method: 'x509-svid',
      evidenceHash,
      expiresAt,
      boundTo: Object.freeze({ 'x5t#S256': evidenceHash }),
    }),
  });
}
