import { randomBytes } from 'node:crypto';
import { HallpassError } from './errors.ts';

/** The outside world as one value: clock, waiting, randomness and outbound HTTP. Tests and the simulator pass their own. */
export interface Runtime {
  /** Milliseconds since the epoch. May jump: never measure durations with it. */
  now(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when that aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `then` after `ms` milliseconds, unless the function that it answers is called before. */
  after(ms: number, then: () => void): () => void;
  /** `size` cryptographically strong random bytes. */
  randomBytes(size: number): Uint8Array;
  /** Outbound HTTP. Callers bound the body and pass a signal. */
  fetch: typeof globalThis.fetch;
}

export const systemRuntime: Runtime = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', abort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', abort, { once: true });
    }),
  after: (ms, then) => {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
  randomBytes: drawBytes,
  fetch: (input, init) => globalThis.fetch(input, init),
};

/** Randomness is drawn from the system by the page: ids take a few bytes each, and a system call for each would cost more than the id. */
const PAGE_BYTES = 4096;
let page = Buffer.alloc(0);
let drawn = 0;

function drawBytes(size: number): Uint8Array {
  if (size > PAGE_BYTES / 16) return randomBytes(size);
  if (drawn + size > page.length) {
    page = randomBytes(PAGE_BYTES);
    drawn = 0;
  }
  const bytes = Uint8Array.from(page.subarray(drawn, drawn + size));
  // What was given away is not kept.
  page.fill(0, drawn, drawn + size);
  drawn += size;
  return bytes;
}

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
export function withDeadline<T>(
  runtime: Runtime,
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<T>,
  parent?: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const signal = parent ? AbortSignal.any([parent, controller.signal]) : controller.signal;
    const cancel = runtime.after(timeoutMs, () => {
      const error = new HallpassError('timeout', `No answer within ${timeoutMs} ms`);
      controller.abort(error);
      reject(error);
    });
    // What throws at once is a rejection like any other.
    new Promise<T>((settle) => settle(work(signal))).then(resolve, reject).finally(cancel);
  });
}
