import { createHash } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import type { Context } from 'hono';
import type { Presented } from '../broker/verbs.ts';
import type { HttpEnv } from './observe.ts';

// RFC 6750 section 2.1, RFC 9449 section 7.1. The length is bounded by the server's header limit.
const TOKEN = /^(Bearer|DPoP) +([A-Za-z0-9\-._~+/]+=*) *$/i;

/** The token in a request's header with what came beside it; null when there is no token. */
export function presentedBy(c: Context<HttpEnv>): (Presented & { readonly token: string }) | null {
  const [, scheme, token] = TOKEN.exec(c.req.raw.headers.get('authorization') ?? '') ?? [];
  if (scheme === undefined || token === undefined) return null;
  return { ...besideToken(c), scheme: scheme.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer', token };
}

/** What came with a request to say whose a token is. Two proofs arrive joined, which makes none. */
export function besideToken(c: Context<HttpEnv>): Presented {
  const jwt = c.req.raw.headers.get('dpop');
  return {
    scheme: 'Bearer',
    proof: jwt === null ? null : { jwt, method: c.req.method, path: c.req.path },
    certificate: certificateThumbprint(c),
  };
}

/** Of the certificate whose key the client proved in the handshake; whether anybody vouches for it is not asked here. */
function certificateThumbprint(c: Context<HttpEnv>): string | null {
  const socket = c.env?.incoming?.socket;
  // A resumed session proves no key anew.
  const der =
    socket instanceof TLSSocket && !socket.isSessionReused()
      ? socket.getPeerX509Certificate()?.raw
      : undefined;
  return der === undefined ? null : createHash('sha256').update(der).digest('base64url');
}
