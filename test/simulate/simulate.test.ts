import { afterAll, describe, expect, test } from 'vitest';
import { anyStore } from '../support/stores.ts';
import { type Counts, type History, play } from './history.ts';
import { MUTATIONS, type Mutation } from './mutations.ts';
import { openEmptiedStore } from './store.ts';
import { tell } from './tell.ts';

const store = await openEmptiedStore(await anyStore());
afterAll(() => store.close());

/** What fits into half a minute; the embedded store is much slower. `npm run simulate` looks longer. */
const SEEDS = store.name === 'PGlite' ? 5 : 200;

/** How many seeds a broken broker may get away with: most are found out by the first or the second, all by some dozens. */
const SEEDS_TO_FIND = 100;

async function history(seed: number, mutation: Mutation | null = null): Promise<History> {
  await store.empty();
  return play(store.database, seed, mutation);
}

describe('simulate', () => {
  test('play: the same seed is the same history, step for step; another seed is another', async () => {
    const first = await history(42);
    const again = await history(42);
    expect(again.trace).toEqual(first.trace);
    expect(again.digest).toBe(first.digest);
    expect((await history(43)).digest).not.toBe(first.digest);
    expect(first.trace.length).toBeGreaterThan(50);
  });

  test('play: whatever befalls the broker, what should always hold does', { timeout: 300_000 }, async () => {
    const sums: Partial<Record<keyof Counts, number>> = {};
    for (let seed = 1; seed <= SEEDS; seed++) {
      const played = await history(seed);
      if (played.faults.length > 0) expect.fail(tell(played));
      for (const [name, count] of Object.entries(played.counts) as [keyof Counts, number][])
        sums[name] = (sums[name] ?? 0) + count;
    }
    if (SEEDS < 100) return;
    // It would be easy to hold when nothing happened.
    expect(sums.served).toBeGreaterThan(SEEDS);
    expect(sums.crashes).toBeGreaterThan(SEEDS / 4);
    for (const outcome of ['revoked', 'denied', 'expired', 'never-minted'] as const)
      expect(sums[outcome], outcome).toBeGreaterThan(0);
  });

  test.each(MUTATIONS)('play: finds out a broker that $name', { timeout: 300_000 }, async (mutation) => {
    const seen: string[] = [];
    for (let seed = 1; seed <= SEEDS_TO_FIND; seed++) {
      const played = await history(seed, mutation);
      if (!played.faults.some((fault) => mutation.foundBy.test(fault))) {
        seen.push(...played.faults);
        continue;
      }
      const told = tell(played);
      expect(told).toContain(`--seed ${seed} --seeds 1`);
      expect(told).toContain(played.trace.at(-1));
      return;
    }
    expect.fail(`Nothing was found in ${SEEDS_TO_FIND} seeds but: ${seen.join('; ')}`);
  });
});
