import { ProviderError } from '../errors.ts';

/** Where a credential that was not found was made, and where it was looked for. */
export interface Elsewhere {
  /** What is being done, for the error: `end a login`. */
  readonly doing: string;
  /** The address that made it; undefined where its handle does not say. */
  readonly madeAt: string | undefined;
  /** The target's address by now. */
  readonly address: string;
  /** When it lapses, and what time it is: milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly now: number;
}

/**
 * For an end that found nothing: a target that is called otherwise by now may be another, and that it knows of nothing
 * does not end what was made. Until that has lapsed this throws `target-refused`, so that somebody hears of it; from
 * then on it answers when it lapsed. Null: it was made where it was looked for.
 */
export function lapsesElsewhere({ doing, madeAt, address, expiresAt, now }: Elsewhere): number | null {
  if (madeAt === undefined || madeAt === address) return null;
  if (now >= expiresAt) return expiresAt;
  throw new ProviderError(
    'target-refused',
    `Cannot ${doing}: it was made at "${madeAt}", and there is none at "${address}": restore the address until its leases have ended`,
  );
}
