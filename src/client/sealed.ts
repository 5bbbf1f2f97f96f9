import { type CryptoKey, compactDecrypt, exportJWK, generateKeyPair } from 'jose';
import type { OpenTaskRequest, Secret } from '../http/contract.ts';

/** A key that lives as long as one task's handle, and opens what the broker seals for it. */
export interface SealKey {
  readonly publicKey: NonNullable<OpenTaskRequest['public_key']>;
  /** The task's token: the plaintext is the token itself. */
  openToken(sealed: string): Promise<string>;
  /** A credential's secret: the plaintext is its JSON. */
  openSecret(sealed: string): Promise<Secret>;
}

/** Makes an ephemeral P-256 key (RFC 7518 section 4.6). The private half cannot be exported. */
export async function createSealKey(): Promise<SealKey> {
  const { publicKey, privateKey } = await generateKeyPair('ECDH-ES+A256KW', { crv: 'P-256' });
  const { kty, crv, x, y } = await exportJWK(publicKey);
  if (!kty || !crv || !x || !y) throw new Error('The runtime made an incomplete P-256 key');
  return {
    publicKey: { kty, crv, x, y },
    openToken: (sealed) => decrypt(sealed, privateKey),
    openSecret: async (sealed) => JSON.parse(await decrypt(sealed, privateKey)) as Secret,
  };
}

async function decrypt(sealed: string, key: CryptoKey): Promise<string> {
  const { plaintext } = await compactDecrypt(sealed, key, {
    keyManagementAlgorithms: ['ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW'],
    contentEncryptionAlgorithms: ['A128GCM', 'A256GCM'],
  });
  return new TextDecoder().decode(plaintext);
}
