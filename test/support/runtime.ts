import { createHash, randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { Runtime } from '../../src/runtime.ts';

/** Where the clock of a test starts unless the test says otherwise. */
export const TEST_EPOCH = Date.parse('2026-03-01T12:00:00Z');

export interface TestRuntimeOptions {
  /** Milliseconds since the epoch at which the clock starts. */
  now?: number;
  /** Whether the clock also goes on by itself, as does that of others who take part. No sleep becomes due by that. */
  runs?: boolean;
  /** Makes `randomBytes` repeatable: equal seeds give equal bytes. Real randomness without it. */
  seed?: string;
  /** What `fetch` calls after it has written the host down; the real one without it. */
  fetch?: typeof globalThis.fetch;
}

/** A `Runtime` whose clock moves by hand only, unless it `runs`. Sockets are real; time is not. */
export interface TestRuntime extends Runtime {
  /** `host:port` of every address that `fetch` was asked for, in order, refused calls included. */
  readonly hosts: readonly string[];
  /** How many sleeps are waiting. */
  sleeping(): number;
  /**
   * Moves the clock and fires the sleeps that become due, in the order of their instants, each at its own instant.
   * What a sleep wakes runs before the next one fires, and may sleep again within the same span.
   */
  advance(ms: number): Promise<void>;
  /** Moves what `now` says, forward or back, as a clock correction does: no sleep becomes due. */
  jump(ms: number): void;
}

interface Sleeper {
  readonly due: number;
  readonly order: number;
  readonly wake: () => void;
}

export function createTestRuntime(options: TestRuntimeOptions = {}): TestRuntime {
  const sleepers = new Set<Sleeper>();
  const hosts: string[] = [];
  const passOn = options.fetch ?? globalThis.fetch;
  let wallOffset = options.now ?? TEST_EPOCH;
  const begun = Date.now();
  const run = options.runs ? () => Date.now() - begun : () => 0;
  let elapsed = 0;
  let order = 0;
  let drawn = 0;

  function nextDue(until: number): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of sleepers) {
      if (sleeper.due > until) continue;
      if (!next || sleeper.due < next.due || (sleeper.due === next.due && sleeper.order < next.order)) {
        next = sleeper;
      }
    }
    return next;
  }

  return {
    hosts,
    now: () => wallOffset + elapsed + run(),
    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const sleeper: Sleeper = {
          due: elapsed + Math.max(0, ms),
          order: order++,
          wake: () => {
            signal?.removeEventListener('abort', abort);
            resolve();
          },
        };
        function abort(): void {
          sleepers.delete(sleeper);
          reject(signal?.reason);
        }
        signal?.addEventListener('abort', abort, { once: true });
        sleepers.add(sleeper);
      });
    },
    after(ms, then) {
      const sleeper: Sleeper = { due: elapsed + Math.max(0, ms), order: order++, wake: then };
      sleepers.add(sleeper);
      return () => void sleepers.delete(sleeper);
    },
    randomBytes(size) {
      if (options.seed === undefined) return randomBytes(size);
      const chunks: Uint8Array[] = [];
      for (let have = 0; have < size; have += 32) {
        chunks.push(createHash('sha256').update(`${options.seed}/${drawn++}`).digest());
      }
      return Uint8Array.from(Buffer.concat(chunks).subarray(0, size));
    },
    fetch(input, init) {
      hosts.push(new URL(input instanceof Request ? input.url : input).host);
      return passOn(input, init);
    },
    sleeping: () => sleepers.size,
    async advance(ms) {
      const end = elapsed + ms;
      await settle();
      for (let sleeper = nextDue(end); sleeper; sleeper = nextDue(end)) {
        elapsed = Math.max(elapsed, sleeper.due);
        sleepers.delete(sleeper);
        sleeper.wake();
        await settle();
      }
      elapsed = end;
      await settle();
    },
    jump(ms) {
      wallOffset += ms;
    },
  };
}

/** Lets everything that can run without waiting for time or the network run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await turn();
}

/**
 * Resolves once `condition` holds, letting sockets and promises move in between.
 * For what happens in real time (a request arriving at a server); fails after about five seconds.
 */
export async function until(condition: () => boolean, what = 'the condition'): Promise<void> {
  const patience = process.hrtime.bigint() + 25_000_000_000n;
  while (!condition()) {
    if (process.hrtime.bigint() > patience) throw new Error(`Gave up waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
