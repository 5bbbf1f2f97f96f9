import { CompactEncrypt, importJWK, type JWK } from 'jose';

/** Seals for a public EC key, as the broker does. */
export async function seal(text: string, publicKey: Readonly<Record<string, unknown>>): Promise<string> {
  const key = await importJWK(publicKey as JWK, 'ECDH-ES+A256KW');
  return new CompactEncrypt(new TextEncoder().encode(text))
    .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM' })
    .encrypt(key);
}
