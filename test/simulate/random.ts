/** A stream of choices that a seed decides: the same seed, the same choices. */
export interface Random {
  /** At least 0, less than 1. */
  next(): number;
  /** A whole number, at least 0, less than `below`. */
  below(below: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
  bytes(size: number): Uint8Array;
}

/** The mulberry32 generator: 32 bits of state, good enough to choose by, and nothing to keep secrets with. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  const below = (limit: number) => Math.floor(next() * limit);
  // Neighbouring seeds begin alike: a few draws part them.
  for (let i = 0; i < 8; i++) next();
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (items) => {
      if (items.length === 0) throw new RangeError('Cannot pick: there is nothing to pick from');
      return items[below(items.length)]!;
    },
    bytes: (size) => Uint8Array.from({ length: size }, () => below(256)),
  };
}
