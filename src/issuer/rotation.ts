import { PUBLISH_AHEAD_MS, RETIRE_AFTER_MS } from './limits.ts';

/** What rotation needs to know of a key. Instants are milliseconds since the epoch. */
export interface DatedKey {
  readonly algorithm: SigningAlgorithm;
  /** Counts up from 0 for each algorithm. */
  readonly generation: number;
  readonly signsFrom: number;
}

export const SIGNING_ALGORITHMS = ['ES256', 'RS256'] as const;
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

/**
 * A key is published when it is made, signs from `signsFrom` on, gives way when the next generation's time has come, and
 * stays published until no token that it signed can be alive. One that has no successor goes on signing: a broker that
 * was away for long finds its old key good, and publishes a new one before it uses it.
 */
export function signerAt<Key extends DatedKey>(
  keys: readonly Key[],
  algorithm: SigningAlgorithm,
  now: number,
): Key | null {
  const own = generations(keys, algorithm);
  return own.findLast((key) => key.signsFrom <= now) ?? own[0] ?? null;
}

/** The keys that relying parties should know, each algorithm's in the order of their generations. */
export function publishedAt<Key extends DatedKey>(keys: readonly Key[], now: number): Key[] {
  return SIGNING_ALGORITHMS.flatMap((algorithm) => {
    const own = generations(keys, algorithm);
    return own.filter((_, i) => !isRetired(own[i + 1], now));
  });
}

/** The keys that no token can need any more. */
export function retiredAt<Key extends DatedKey>(keys: readonly Key[], now: number): Key[] {
  const published = new Set(publishedAt(keys, now));
  return keys.filter((key) => !published.has(key));
}

/** The keys that have to be made now. The very first of an algorithm signs at once: nobody can know another. */
export function missingAt(keys: readonly DatedKey[], now: number, rotateEveryMs: number): DatedKey[] {
  return SIGNING_ALGORITHMS.flatMap((algorithm) => {
    const newest = generations(keys, algorithm).at(-1);
    if (newest === undefined) return [{ algorithm, generation: 0, signsFrom: now }];
    const turn = newest.signsFrom + rotateEveryMs;
    if (now < turn - PUBLISH_AHEAD_MS) return [];
    const signsFrom = Math.max(turn, now + PUBLISH_AHEAD_MS);
    return [{ algorithm, generation: newest.generation + 1, signsFrom }];
  });
}

function isRetired(successor: DatedKey | undefined, now: number): boolean {
  return successor !== undefined && successor.signsFrom + RETIRE_AFTER_MS <= now;
}

function generations<Key extends DatedKey>(keys: readonly Key[], algorithm: SigningAlgorithm): Key[] {
  return keys.filter((key) => key.algorithm === algorithm).sort((a, b) => a.generation - b.generation);
}
