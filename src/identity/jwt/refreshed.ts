import { digestJson, type Json } from '../../json.ts';
import { err, ok, type Result } from '../../result.ts';
import { type Runtime, withDeadline } from '../../runtime.ts';
import {
  KEYS_FETCH_TIMEOUT_MS,
  KEYS_RETRY_MS,
  KEYS_STALE_MAX_MS,
  UNKNOWN_KEY_COOLDOWN_MS,
} from './limits.ts';

/** One state of something that an issuer publishes. */
export interface Edition<T> {
  readonly value: T;
  /** Differs between any two editions of one source whose content differs, and stays while it does not. */
  readonly generation: number;
}

/** What an issuer publishes, as it is now. Neither method throws, and each waits at most for one bounded fetch, or until `signal` aborts. */
export interface Source<T> {
  /** The edition to use now, or in words for the operator why there is none. */
  current(signal: AbortSignal): Promise<Result<Edition<T>, string>>;
  /** One newer than `known`; null when there is none or it is too soon to ask. */
  newerThan(known: Edition<T>, signal: AbortSignal): Promise<Edition<T> | null>;
  /** Fetches now, whatever is at hand; null when that went well, else why not. Absent where nothing is fetched. */
  refresh?(signal: AbortSignal): Promise<string | null>;
}

/** What never changes. */
export function pinnedSource<T>(value: T): Source<T> {
  const edition = { value, generation: 1 };
  return { current: async () => ok(edition), newerThan: async () => null };
}

export interface Fetched<T> {
  readonly value: T;
  /** What decides whether it is another edition. */
  readonly content: Json;
  /** For how long it is used unasked. */
  readonly freshMs: number;
}

/** Fetches; `held` is the value in use. Must end when the signal aborts. */
export type FetchEdition<T> = (
  signal: AbortSignal,
  held: T | undefined,
) => Promise<Result<Fetched<T>, string>>;

interface Held<T> extends Edition<T> {
  readonly digest: string;
  readonly fetchedAt: number;
  readonly freshMs: number;
}

/**
 * A source that is fetched when it is first needed, again when it is no longer fresh, and when a token names a key that
 * is not among its keys. At most one fetch is under way; it is shared by all who wait and belongs to none of them.
 * While the issuer cannot be reached the edition at hand serves on, up to a bounded age. A clock that was set back
 * counts as time passed: it can cause a fetch, and never keeps an old edition alive.
 */
export function refreshedSource<T>(runtime: Runtime, fetchEdition: FetchEdition<T>): Source<T> {
  let held: Held<T> | undefined;
  let attempt: { endedAt: number; failure: string | null } | undefined;
  let underWay: Promise<void> | undefined;

  function olderThan(instant: number, ms: number): boolean {
    const age = runtime.now() - instant;
    return age < 0 || age >= ms;
  }

  function mayAsk(): boolean {
    return !attempt || olderThan(attempt.endedAt, attempt.failure ? KEYS_RETRY_MS : UNKNOWN_KEY_COOLDOWN_MS);
  }

  async function refresh(): Promise<void> {
    const fetched = await withDeadline(runtime, KEYS_FETCH_TIMEOUT_MS, (signal) =>
      fetchEdition(signal, held?.value),
    ).catch(() => err(`no answer within ${KEYS_FETCH_TIMEOUT_MS} ms`));
    const now = runtime.now();
    attempt = { endedAt: now, failure: fetched.ok ? null : fetched.error };
    if (!fetched.ok) return;
    const { content, freshMs } = fetched.value;
    const digest = digestJson(content);
    const before = held?.generation ?? 0;
    held = {
      value: fetched.value.value,
      generation: held?.digest === digest ? before : before + 1,
      digest,
      fetchedAt: now,
      freshMs,
    };
  }

  /** Joins the fetch that is under way, or starts one; then waits for it or for the signal. */
  async function fetchNow(signal: AbortSignal): Promise<void> {
    underWay ??= refresh().finally(() => {
      underWay = undefined;
    });
    await orAborted(underWay, signal);
  }

  /** The same, if it is time. */
  async function ask(signal: AbortSignal): Promise<void> {
    if (underWay || mayAsk()) await fetchNow(signal);
  }

  return {
    async current(signal) {
      if (!held || olderThan(held.fetchedAt, held.freshMs)) await ask(signal);
      if (held && !olderThan(held.fetchedAt, Math.max(held.freshMs, KEYS_STALE_MAX_MS))) return ok(held);
      return err(attempt?.failure ?? 'the request was given up before an answer came');
    },
    async newerThan(known, signal) {
      if (held?.generation === known.generation) await ask(signal);
      return held && held.generation !== known.generation ? held : null;
    },
    async refresh(signal) {
      const before = attempt;
      await fetchNow(signal);
      return attempt === before || !attempt ? 'it was given up before an answer came' : attempt.failure;
    },
  };
}

/** Resolves when `work` does or when the signal aborts, whichever is first. `work` never rejects. */
function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', done, { once: true });
    function done(): void {
      signal.removeEventListener('abort', done);
      resolve();
    }
    void work.then(done);
  });
}
