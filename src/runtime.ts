import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { HallpassError } from './errors.ts';

/** The outside world as one value: clock, waiting, randomness and outbound HTTP. Tests and the simulator pass their own. */
export interface Runtime {
  /** Milliseconds since the epoch. May jump: never measure durations with it. */
  now(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when that aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** `size` cryptographically strong random bytes. */
  randomBytes(size: number): Uint8Array;
  /** Outbound HTTP. Callers bound the body and pass a signal. */
  fetch: typeof globalThis.fetch;
}

export const systemRuntime: Runtime = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await delay(ms, undefined, signal ? { signal } : {});
  },
  randomBytes: (size) => randomBytes(size),
  fetch: (input, init) => globalThis.fetch(input, init),
};

const BASE32 = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * A new identifier: 26 lower-case Crockford base32 characters, the first 10 the time in milliseconds,
 * the rest 80 random bits (the ULID layout). It sorts by time and is safe in SQL identifiers, URLs and file names.
 */
export function newId(runtime: Runtime): string {
  let time = runtime.now();
  let id = '';
  for (let i = 0; i < 10; i++) {
    id = BASE32.charAt(time % 32) + id;
    time = Math.floor(time / 32);
  }
  let bits = 0;
  let held = 0;
  for (const byte of runtime.randomBytes(10)) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      id += BASE32.charAt((held >> bits) & 31);
    }
    held &= (1 << bits) - 1;
  }
  return id;
}

/** What `newId` makes, for validating ids that come from outside. */
export const ID_PATTERN = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/**
 * Runs `work` with a signal that aborts after `timeoutMs`, or when `parent` does.
 * Rejects with code `timeout` even when `work` ignores its signal; the work itself may then still be going on.
 */
export async function withDeadline<T>(
  runtime: Runtime,
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<T>,
  parent?: AbortSignal,
): Promise<T> {
  const controller = new AbortController();
  const settled = new AbortController();
  const signal = parent ? AbortSignal.any([parent, controller.signal]) : controller.signal;
  const timer = runtime.sleep(timeoutMs, settled.signal).then(() => {
    const error = new HallpassError('timeout', `No answer within ${timeoutMs} ms`);
    controller.abort(error);
    throw error;
  });
  timer.catch(() => {});
  try {
    return await Promise.race([work(signal), timer]);
  } finally {
    settled.abort();
  }
}
