import type { Socket } from 'node:net';
import { type DetailedPeerCertificate, TLSSocket } from 'node:tls';
import type { Verbs } from '../broker/verbs.ts';

type Evidence = Parameters<Verbs['identify']>[0];

/** More certificates than any attestor reads; past that the rest is left out. */
const CHAIN_MAX = 16;

/** What was read from connections that are open, so that each request does not read it again. */
const read = new WeakMap<TLSSocket, Evidence | null>();

/**
 * The certificates that the client of this connection presented, its own first; null when it presented none. The
 * handshake proved that it holds the key. A resumed session proves nothing of the kind, so it counts as none.
 */
export function clientCertificate(socket: Socket | undefined): Evidence | null {
  if (!(socket instanceof TLSSocket) || socket.isSessionReused()) return null;
  const known = read.get(socket);
  if (known !== undefined) return known;
  const chain = chainOf(socket.getPeerCertificate(true));
  const evidence = chain.length === 0 ? null : ({ kind: 'client-certificate', chain } as const);
  read.set(socket, evidence);
  return evidence;
}

function chainOf(leaf: DetailedPeerCertificate | undefined): Uint8Array[] {
  const chain: Uint8Array[] = [];
  const seen = new Set<DetailedPeerCertificate>();
  let certificate = leaf;
  while (certificate?.raw !== undefined && !seen.has(certificate) && chain.length < CHAIN_MAX) {
    seen.add(certificate);
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}
