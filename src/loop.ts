import type { Runtime } from './runtime.ts';

/** Work that is done again and again, by whichever process has the right to it. */
export interface Loop {
  /** Does it once; answers how much was done. */
  tick(): Promise<number>;
  /** Goes on until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** How long a loop waits: after work, after finding none, and after a failure. */
export interface Pace {
  readonly busyMs: number;
  readonly idleMs: number;
  /** After so many failures in a row, from 1. There is no last attempt. */
  retryMs(failures: number, error: unknown): number;
}

/** The first wait; it doubles with each failure, up to the longest. */
export function doubling(firstMs: number, longestMs: number): Pace['retryMs'] {
  return (failures) => Math.min(firstMs * 2 ** (failures - 1), longestMs);
}

/** A loop of `tick`. `onError` is told of each failure, and how long it waits then. */
export function createLoop(
  runtime: Runtime,
  pace: Pace,
  tick: () => Promise<number>,
  onError: (error: unknown, waitMs: number) => void,
): Loop {
  return {
    tick,
    async run(signal) {
      let failures = 0;
      while (!signal.aborted) {
        let waitMs: number;
        try {
          waitMs = (await tick()) > 0 ? pace.busyMs : pace.idleMs;
          failures = 0;
        } catch (error) {
          waitMs = pace.retryMs(++failures, error);
          onError(error, waitMs);
        }
        if (waitMs > 0) await runtime.sleep(waitMs, signal).catch(() => {});
      }
    },
  };
}
