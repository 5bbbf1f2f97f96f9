import { eq, inArray } from 'drizzle-orm';
import type { Json } from '../json.ts';
import { type Database, withUnavailable } from './database.ts';
import { signingKey } from './schema.ts';

/** A key of the broker as an issuer. Instants are milliseconds since the epoch. */
export interface SigningKeyRow {
  readonly kid: string;
  readonly algorithm: 'ES256' | 'RS256';
  readonly generation: number;
  /** A public JWK. */
  readonly publicKey: Json;
  /** The private JWK, encrypted under a master key. */
  readonly sealed: string;
  readonly createdAt: number;
  readonly signsFrom: number;
}

/** All of them: there are never more than a few. */
export function readSigningKeys(database: Database): Promise<SigningKeyRow[]> {
  return withUnavailable(() => database.orm.select().from(signingKey));
}

/** Keeps a new key, unless another replica made that generation first. */
export async function addSigningKey(database: Database, row: SigningKeyRow): Promise<void> {
  await withUnavailable(() => database.orm.insert(signingKey).values(row).onConflictDoNothing());
}

/** Replaces the envelope of a key. Two replicas that do it at once write the same secret under the same master key. */
export async function resealSigningKey(database: Database, kid: string, sealed: string): Promise<void> {
  await withUnavailable(() => database.orm.update(signingKey).set({ sealed }).where(eq(signingKey.kid, kid)));
}

/** Deletes keys that no token can need any more. */
export async function dropSigningKeys(database: Database, kids: readonly string[]): Promise<void> {
  if (kids.length === 0) return;
  await withUnavailable(() => database.orm.delete(signingKey).where(inArray(signingKey.kid, [...kids])));
}
