import { CompactEncrypt, importJWK, type JWK } from 'jose';
import type { Json } from '../json.ts';
import { err, ok, type Result } from '../result.ts';

/** Seals a text for the holder of a key, as a compact JWE (RFC 7516). What comes out may be stored. */
export type Seal = (text: string) => Promise<string>;

const EC_CURVES: ReadonlySet<Json | undefined> = new Set(['P-256', 'P-384', 'P-521']);

/** RSA moduli: shorter ones are broken, longer ones only cost us time. */
const RSA_BITS = { least: 2048, most: 8192 };
/** With 1 what is sealed stands there in clear, and is stored; the work grows with the exponent, and 65537 is what is used. */
const RSA_EXPONENT = { least: 3, mostBytes: 4 };

/**
 * A seal for a public JWK: ECDH-ES for EC and X25519 keys, RSA-OAEP-256 for RSA keys, A256GCM inside.
 * Refuses with a sentence for the caller: a private key, another key type, a size or an exponent out of bounds.
 */
export async function sealFor(publicKey: Readonly<Record<string, Json>>): Promise<Result<Seal, string>> {
  if ('d' in publicKey || 'k' in publicKey) {
    return err('Cannot seal for this key: it is private, send the public half only and discard this pair');
  }
  const algorithm = algorithmFor(publicKey);
  if (algorithm === null) {
    return err(
      'Cannot seal for this key: it must be EC on P-256, P-384 or P-521, X25519, or RSA of 2048 to 8192 bits with a usual exponent',
    );
  }
  try {
    const key = await importJWK(publicKey as JWK, algorithm);
    const seal: Seal = (text) =>
      new CompactEncrypt(new TextEncoder().encode(text))
        .setProtectedHeader({ alg: algorithm, enc: 'A256GCM', ...kidOf(publicKey) })
        .encrypt(key);
    await seal('');
    return ok(seal);
  } catch {
    return err('Cannot seal for this key: it is not a valid public JWK of its type');
  }
}

function algorithmFor(key: Readonly<Record<string, Json>>): 'ECDH-ES' | 'RSA-OAEP-256' | null {
  if (key.kty === 'EC' && EC_CURVES.has(key.crv)) return 'ECDH-ES';
  if (key.kty === 'OKP' && key.crv === 'X25519') return 'ECDH-ES';
  if (key.kty === 'RSA' && typeof key.n === 'string' && typeof key.e === 'string') {
    const exponent = Buffer.from(key.e, 'base64url');
    const bits = Buffer.from(key.n, 'base64url').length * 8;
    if (exponent.length === 0 || exponent.length > RSA_EXPONENT.mostBytes) return null;
    if (exponent.readUIntBE(0, exponent.length) < RSA_EXPONENT.least) return null;
    return bits >= RSA_BITS.least && bits <= RSA_BITS.most ? 'RSA-OAEP-256' : null;
  }
  return null;
}

function kidOf(key: Readonly<Record<string, Json>>): { readonly kid?: string } {
  return typeof key.kid === 'string' && key.kid.length <= 200 ? { kid: key.kid } : {};
}
