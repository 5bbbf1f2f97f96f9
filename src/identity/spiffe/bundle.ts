import { z } from 'zod';
import type { Json } from '../../json.ts';
import { err, ok, type Result } from '../../result.ts';
import { createKeySet, type Jwk, type KeySet, readKeys } from '../jwt/jwks.ts';
import { KEYS_MAX } from '../jwt/limits.ts';
import { type Certificate, readCertificate } from '../x509/certificate.ts';

/** What one trust domain vouches with. Bundles of two trust domains are never joined. */
export interface Bundle {
  /** Absent where the document does not count. */
  readonly sequence: number | undefined;
  readonly jwtKeys: KeySet;
  readonly authorities: readonly Certificate[];
}

export interface ReadBundle {
  readonly bundle: Bundle;
  /** What decides whether it is another bundle than the last. */
  readonly content: Json;
  readonly refreshHintSeconds: number | undefined;
}

const bundleDocument = z.object({
  keys: z.array(z.record(z.string(), z.unknown())).max(KEYS_MAX),
  spiffe_sequence: z.int().min(0).optional(),
  spiffe_refresh_hint: z.int().min(0).optional(),
});

/** SPIFFE Trust Domain and Bundle, section 4.2.3: x5c of an X.509 authority is that one certificate. */
const authority = z.object({ use: z.literal('x509-svid'), x5c: z.tuple([z.base64().max(32_768)]) });

/** JWT-SVID, section 4: `kid` is required. */
const jwtKey = z.object({ use: z.literal('jwt-svid'), kid: z.string().min(1) });

/**
 * Reads a bundle (https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md, section 4).
 * Entries of other uses or kinds are ignored, as it asks; so are authorities that are none. No entries at all is a
 * bundle too: it withdraws everything.
 */
export function readBundle(document: unknown): Result<ReadBundle, string> {
  const parsed = bundleDocument.safeParse(document);
  if (!parsed.success) return err(`it is not a bundle of at most ${KEYS_MAX} keys`);
  const { keys, spiffe_sequence: sequence, spiffe_refresh_hint: refreshHintSeconds } = parsed.data;
  const jwtKeys = keys.filter((key) => jwtKey.safeParse(key).success).flatMap(verificationKey);
  const authorities = keys.flatMap(authorityOf);
  return ok({
    bundle: { sequence, jwtKeys: createKeySet(jwtKeys), authorities },
    content: [
      ...jwtKeys.map((key) => JSON.stringify(key)),
      ...authorities.map(({ der }) => Buffer.from(der).toString('base64')),
    ],
    refreshHintSeconds,
  });
}

/** The key under the name that key sets have for its use. Private keys are dropped there. */
function verificationKey(entry: Record<string, unknown>): readonly Jwk[] {
  const read = readKeys({ keys: [{ ...entry, use: 'sig' }] });
  return read.ok ? read.value.keys : [];
}

function authorityOf(entry: Record<string, unknown>): Certificate[] {
  const parsed = authority.safeParse(entry);
  if (!parsed.success) return [];
  const certificate = readCertificate(Buffer.from(parsed.data.x5c[0], 'base64'));
  return certificate.ok && certificate.value.isAuthority ? [certificate.value] : [];
}
