import { base64url, exportJWK, generateKeyPair, SignJWT } from 'jose';

/** A key that lives as long as one task's handle, and proves that its token is presented by whom it was given to (RFC 9449). */
export interface ProofKey {
  /** A proof for one request. The token beside it is part of what is signed. */
  prove(request: { readonly method: string; readonly url: URL; readonly token: string }): Promise<string>;
  /** The nonce that the broker gave last: the next proofs carry it. */
  useNonce(nonce: string): void;
}

/** Makes an ephemeral P-256 key. The private half cannot be exported. */
export async function createProofKey(): Promise<ProofKey> {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const { kty, crv, x, y } = await exportJWK(publicKey);
  if (!kty || !crv || !x || !y) throw new Error('The runtime made an incomplete P-256 key');
  let nonce: string | null = null;
  return {
    async prove({ method, url, token }) {
      const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(token));
      return new SignJWT({
        htm: method,
        htu: `${url.origin}${url.pathname}`,
        ath: base64url.encode(new Uint8Array(hash)),
        ...(nonce === null ? {} : { nonce }),
      })
        .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } })
        .setJti(crypto.randomUUID())
        .setIssuedAt()
        .sign(privateKey);
    },
    useNonce(given) {
      nonce = given;
    },
  };
}
