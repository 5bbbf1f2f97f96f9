import { createLocalJWKSet, errors, type JSONWebKeySet, type CryptoKey as VerificationKey } from 'jose';
import { z } from 'zod';
import { err, ok, type Result } from '../../result.ts';
import { CANDIDATE_KEYS_MAX, KEYS_MAX, RSA_BITS_MAX, RSA_BITS_MIN } from './limits.ts';
import type { TokenHeader } from './token.ts';

/** Public members of a JWK (RFC 7517, section 4; RFC 7518, section 6; RFC 8037). All others are dropped. */
const publicMembers = {
  kid: z.string().optional(),
  alg: z.string().optional(),
  use: z.literal('sig').optional(),
  key_ops: z
    .array(z.string())
    .refine((operations) => operations.includes('verify'))
    .optional(),
};

const coordinate = z.string().regex(/^[\w-]{1,100}$/);

const publicKey = z.discriminatedUnion('kty', [
  z.object({
    kty: z.literal('RSA'),
    n: z.string().refine((n) => isBetween(modulusBits(n), RSA_BITS_MIN, RSA_BITS_MAX)),
    /** At most 32 bits: the cost of a verification grows with the exponent, and 65537 is what is used. By 1 everybody signs. */
    e: z
      .string()
      .regex(/^[\w-]{2,6}$/)
      .refine((e) => exponent(e) >= 3),
    ...publicMembers,
  }),
  z.object({
    kty: z.literal('EC'),
    crv: z.enum(['P-256', 'P-384', 'P-521']),
    x: coordinate,
    y: coordinate,
    ...publicMembers,
  }),
  z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: coordinate, ...publicMembers }),
]);

/** A public key that verifies signatures. */
export type Jwk = z.output<typeof publicKey>;

const keyDocument = z.object({ keys: z.array(z.record(z.string(), z.unknown())).max(KEYS_MAX) });

/**
 * The usable keys of a JWK Set document. Keys of other kinds or uses are ignored, as RFC 7517, section 5 asks;
 * so are private and symmetric ones, which are counted: whoever publishes such a key has lost it.
 */
export function readKeys(document: unknown): Result<{ keys: Jwk[]; privateKeys: number }, string> {
  const parsed = keyDocument.safeParse(document);
  if (!parsed.success) return err(`it is not a JWK Set of at most ${KEYS_MAX} keys`);
  const isSecret = (jwk: Record<string, unknown>): boolean => 'd' in jwk || 'k' in jwk || jwk.kty === 'oct';
  const keys = parsed.data.keys
    .filter((jwk) => !isSecret(jwk))
    .map((jwk) => publicKey.safeParse(jwk))
    .flatMap((read) => (read.success ? [read.data] : []));
  return ok({ keys, privateKeys: parsed.data.keys.filter(isSecret).length });
}

/** The keys of an issuer at one moment. */
export interface KeySet {
  /** The keys that a token with this header may be signed with, at most `CANDIDATE_KEYS_MAX`; empty: none. */
  candidates(header: TokenHeader): Promise<VerificationKey[]>;
}

export function createKeySet(keys: readonly Jwk[]): KeySet {
  const select = createLocalJWKSet({ keys: keys.map((key) => ({ ...key })) } as JSONWebKeySet);
  return {
    async candidates(header) {
      try {
        return [await select({ ...header })];
      } catch (error) {
        if (!(error instanceof errors.JWKSMultipleMatchingKeys)) return [];
        const several: VerificationKey[] = [];
        for await (const key of error) {
          several.push(key);
          if (several.length === CANDIDATE_KEYS_MAX) break;
        }
        return several;
      }
    },
  };
}

function modulusBits(n: string): number {
  const bytes = Buffer.from(n.slice(0, 4_096), 'base64url');
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first] ?? 0) + 24;
}

function exponent(e: string): number {
  const bytes = Buffer.from(e, 'base64url');
  return bytes.length === 0 ? 0 : bytes.readUIntBE(0, bytes.length);
}

function isBetween(value: number, low: number, high: number): boolean {
  return value >= low && value <= high;
}
