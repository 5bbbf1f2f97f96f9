import { createHash } from 'node:crypto';
import type { Random } from './random.ts';

/**
 * Who goes next, and when: everything that waits, for an answer or for an instant, waits here, and one of them is
 * let go at a time. What it wakes runs until it waits again before the next choice is made, so the choices alone
 * decide the order of all that happens.
 */
export interface Schedule {
  readonly random: Random;
  /** True time, in milliseconds since the epoch. */
  now(): number;
  /** Resolves when it is chosen. */
  turn(what: string): Promise<void>;
  /** Resolves when the time has come; rejects with the signal's reason when that aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Real work that a step has begun: the step is over when it is. */
  work<T>(work: Promise<T>): Promise<T>;
  /** Lets one go. False when nobody waits for anything. */
  step(): Promise<boolean>;
  /** From now on time passes only when nobody could go. */
  rest(): void;
  /** Nobody goes any more. What still sleeps is let go of: a signal that is listened to is kept, with all that it holds. */
  close(): void;
  /** Writes a line into the trace. */
  say(line: string): void;
  /** Makes a value part of the trace's digest without keeping it. */
  mix(value: unknown): void;
  readonly trace: readonly string[];
  /** Digest of everything that happened, in order. */
  digest(): string;
}

/** The longest that time passes at once while somebody could go: a call that takes longer has been given up. */
const LONGEST_WAIT_MS = 60_000;

/** Where true time begins. */
const EPOCH = Date.parse('2026-03-01T12:00:00Z');

interface Waiting {
  readonly what: string;
  readonly go: () => void;
}

interface Sleeper {
  readonly due: number;
  readonly wake: () => void;
  /** Listens to its signal no longer. */
  readonly deafen: () => void;
}

/** `restlessness`: how often time passes though somebody could go, between 0 and 1. */
export function createSchedule(random: Random, restlessness: number): Schedule {
  let haste = restlessness;
  const waiting: Waiting[] = [];
  // In the order in which they lay down; of those due at once the first is woken first.
  const sleepers = new Set<Sleeper>();
  const working = new Set<Promise<unknown>>();
  const trace: string[] = [];
  const hash = createHash('sha256');
  let elapsed = 0;

  function say(line: string): void {
    const full = `${(elapsed / 1000).toFixed(3)} ${line}`;
    trace.push(full);
    hash.update(full);
  }

  /** Lets everything run that waits for neither a choice nor an instant. */
  async function settle(): Promise<void> {
    do {
      await Promise.allSettled(working);
      await new Promise((resolve) => setImmediate(resolve));
    } while (working.size > 0);
  }

  function nextSleeper(): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of sleepers) if (next === undefined || sleeper.due < next.due) next = sleeper;
    return next;
  }

  return {
    random,
    now: () => EPOCH + elapsed,
    turn: (what) =>
      new Promise((resolve) => {
        waiting.push({ what, go: resolve });
      }),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const abort = () => {
          sleepers.delete(sleeper);
          reject(signal?.reason);
        };
        const deafen = () => signal?.removeEventListener('abort', abort);
        const sleeper: Sleeper = {
          due: elapsed + Math.max(0, ms),
          wake: () => {
            deafen();
            resolve();
          },
          deafen,
        };
        signal?.addEventListener('abort', abort, { once: true });
        sleepers.add(sleeper);
      }),
    work(work) {
      const settled = work.then(
        () => {},
        () => {},
      );
      working.add(settled);
      void settled.then(() => working.delete(settled));
      return work;
    },
    async step() {
      const next = nextSleeper();
      if (waiting.length === 0 && next === undefined) return false;
      const isHasty = next !== undefined && next.due - elapsed <= LONGEST_WAIT_MS && random.chance(haste);
      if (next !== undefined && (waiting.length === 0 || isHasty)) {
        sleepers.delete(next);
        elapsed = Math.max(elapsed, next.due);
        next.wake();
      } else {
        const [chosen] = waiting.splice(random.below(waiting.length), 1);
        say(chosen!.what);
        chosen!.go();
      }
      await settle();
      return true;
    },
    rest() {
      haste = 0;
    },
    close() {
      for (const { deafen } of sleepers) deafen();
    },
    say,
    mix: (value) => void hash.update(JSON.stringify(value) ?? 'undefined'),
    trace,
    digest: () => hash.copy().digest('hex'),
  };
}
