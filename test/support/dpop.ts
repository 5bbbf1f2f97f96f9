import { randomUUID } from 'node:crypto';
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { sha256 } from '../../src/json.ts';

/** The key of somebody who proves that he holds it. */
export interface Prover {
  readonly jwk: JWK;
  readonly privateKey: CryptoKey;
  readonly jkt: string;
  /** A proof; members of `claims` and `header` replace those that are right, and `undefined` leaves one out. */
  prove(
    about: { method?: string; url: string; token?: string; now: number },
    over?: { claims?: Record<string, unknown>; header?: Record<string, unknown> },
  ): Promise<string>;
}

export async function createProver(alg = 'ES256'): Promise<Prover> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  return {
    jwk,
    privateKey,
    jkt: await calculateJwkThumbprint(jwk),
    prove: ({ method = 'POST', url, token, now }, { claims = {}, header = {} } = {}) =>
      new SignJWT({
        jti: randomUUID(),
        htm: method,
        htu: url,
        iat: Math.floor(now / 1000),
        ...(token === undefined ? {} : { ath: sha256(token) }),
        ...claims,
      })
        .setProtectedHeader({ typ: 'dpop+jwt', alg, jwk, ...header })
        .sign(privateKey),
  };
}
