import { randomBytes } from 'node:crypto';
import type { Runtime } from '../../src/runtime.ts';

/** A runtime whose clock moves when the test says so. */
export interface FakeClock extends Runtime {
  advance(ms: number): Promise<void>;
}

export function fakeClock(start = Date.UTC(2030, 0, 1)): FakeClock {
  let now = start;
  const sleepers = new Set<{ until: number; wake: () => void }>();
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const sleeper = { until: now + ms, wake: resolve };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', () => {
          sleepers.delete(sleeper);
          reject(signal.reason);
        });
      }),
    after(ms, then) {
      const sleeper = { until: now + ms, wake: then };
      sleepers.add(sleeper);
      return () => void sleepers.delete(sleeper);
    },
    randomBytes: (size) => randomBytes(size),
    fetch: () => Promise.reject(new Error('no network in this test')),
    async advance(ms) {
      now += ms;
      for (const sleeper of [...sleepers]) {
        if (sleeper.until > now) continue;
        sleepers.delete(sleeper);
        sleeper.wake();
      }
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}
