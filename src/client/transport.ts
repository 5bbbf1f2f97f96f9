import type { Problem } from '../http/contract.ts';
import type { ProofKey } from './dpop.ts';
import { HallpassProblem, HallpassUnreachable } from './problem.ts';
import { waitFor } from './wait.ts';

/** As much of the web's `fetch` as a client needs: `globalThis.fetch` is one. */
export type Fetch = (url: URL, init: FetchInit) => Promise<FetchAnswer>;

export interface FetchInit {
  readonly method?: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  /** A redirect rejects: a token is for this broker alone. */
  readonly redirect: 'error';
  readonly signal: AbortSignal;
}

export interface FetchAnswer {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: { cancel(): Promise<void> } | null;
  text(): Promise<string>;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** How a client reaches its broker. */
export interface TransportOptions {
  /** `https://host[:port]`; plain `http:` to a loopback address only, unless `allowInsecureHttp`. */
  readonly url: string;
  readonly fetch?: Fetch;
  /** Sends tokens and receives secrets in clear. */
  readonly allowInsecureHttp?: boolean;
  /** For one attempt, in milliseconds. */
  readonly timeoutMs?: number;
  /** Attempts in all, where repeating is safe. */
  readonly maxAttempts?: number;
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Told before each wait why there is another attempt, and in how many milliseconds. */
  readonly onWait?: (error: Error, waitMs: number) => void;
  /** From 0 to 1, for the jitter of the waits. */
  readonly random?: () => number;
}

/** One request. */
export interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly token: () => Promise<string>;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Whether it may be sent again: `always`, because a second one does what the first did; only when the first was
   * `refused` before anything was begun; or `never`.
   */
  readonly repeat: 'always' | 'refused' | 'never';
  /** Proves that the token is presented by its holder. */
  readonly proof?: ProofKey | undefined;
  /** Whether the token is bound to the key of the proofs. */
  readonly bound?: boolean;
  /** Stops the repetitions. */
  readonly signal?: AbortSignal | undefined;
  /** Cuts an attempt that is under way. */
  readonly cut?: AbortSignal | undefined;
}

/** The first wait, doubled with each attempt up to the longest; the true wait is anywhere between half of it and all. */
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8_000;
/** A broker that asks for more patience than this is left alone. */
const LONGEST_RETRY_AFTER_MS = 30_000;

/** Sends calls, each attempt bounded in time, and repeats those that may be repeated. */
export type Transport = <T>(call: Call) => Promise<T>;

export function createTransport(options: TransportOptions): Transport {
  const base = checkedUrl(options);
  const { maxAttempts = 5, sleep = waitFor, random = Math.random } = options;
  return async <T>(call: Call): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await sendWithNonce<T>(base, options, call);
      } catch (error) {
        const waitMs = waitBefore(error, call, attempt, random);
        if (waitMs === null || attempt >= maxAttempts || call.signal?.aborted) throw error;
        options.onWait?.(error as Error, waitMs);
        await sleep(waitMs, call.signal).catch(() => Promise.reject(error));
      }
    }
  };
}

/** In how many milliseconds the call may be repeated after this error; null: not at all. */
function waitBefore(error: unknown, call: Call, attempt: number, random: () => number): number | null {
  const backoff = Math.min(FIRST_WAIT_MS * 2 ** (attempt - 1), LONGEST_WAIT_MS) * (0.5 + random() / 2);
  if (error instanceof HallpassUnreachable) return call.repeat === 'always' ? backoff : null;
  if (!(error instanceof HallpassProblem) || !mayRepeat(error, call.repeat)) return null;
  const asked = (error.retryAfterSeconds ?? 0) * 1000;
  return asked > LONGEST_RETRY_AFTER_MS ? null : Math.max(asked, backoff);
}

function mayRepeat(problem: HallpassProblem, repeat: Call['repeat']): boolean {
  if (repeat === 'never') return false;
  switch (problem.code) {
    case 'rate-limited':
    case 'overloaded':
    case 'not-ready':
    case 'target-unavailable':
    case 'in-progress':
      return true;
    case 'store-unavailable':
      return repeat === 'always';
    case 'unexpected-answer':
      return repeat === 'always' && problem.status >= 502 && problem.status <= 504;
    default:
      return false;
  }
}

/** A proof that the broker does not take for one of now is made again with its nonce: nothing was begun. */
async function sendWithNonce<T>(base: URL, options: TransportOptions, call: Call): Promise<T> {
  try {
    return await send<T>(base, options, call);
  } catch (error) {
    if (!call.proof || !(error instanceof HallpassProblem) || error.code !== 'use-nonce') throw error;
    return send<T>(base, options, call);
  }
}

async function send<T>(base: URL, options: TransportOptions, call: Call): Promise<T> {
  const url = new URL(base);
  url.pathname = `${base.pathname.replace(/\/$/, '')}${call.path}`;
  for (const [name, value] of Object.entries(call.query ?? {}))
    if (value !== undefined) url.searchParams.set(name, String(value));
  const token = await call.token();
  const proof = await call.proof?.prove({ method: call.method, url, token });
  const fetch = options.fetch ?? globalThis.fetch;
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 30_000);
  let answer: FetchAnswer;
  let text: string;
  try {
    answer = await fetch(url, {
      method: call.method,
      headers: {
        ...call.headers,
        authorization: `${call.bound ? 'DPoP' : 'Bearer'} ${token}`,
        ...(proof === undefined ? {} : { dpop: proof }),
        ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      redirect: 'error',
      signal: call.cut ? AbortSignal.any([timeout, call.cut]) : timeout,
    });
    text = await answer.text();
  } catch (error) {
    throw new HallpassUnreachable(base.origin, error);
  }
  const nonce = answer.headers.get('dpop-nonce');
  if (nonce !== null) call.proof?.useNonce(nonce);
  const json = parse(text);
  if (answer.ok && json !== null) return json as T;
  throw problemOf(answer, json);
}

function parse(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

function problemOf(answer: FetchAnswer, json: object | null): HallpassProblem {
  if (json && 'code' in json && 'status' in json && 'title' in json)
    return new HallpassProblem(json as Problem);
  return new HallpassProblem({
    code: 'unexpected-answer',
    status: answer.status,
    title: `The answer, with status ${answer.status}, is not the broker's`,
  });
}

export function checkedUrl({ url, allowInsecureHttp }: TransportOptions): URL {
  let base: URL;
  try {
    base = new URL(url);
  } catch {
    throw new TypeError(`Cannot use ${JSON.stringify(url)} as the broker's address: write https://host`);
  }
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(base.hostname);
  if (base.protocol === 'https:' || (base.protocol === 'http:' && (loopback || allowInsecureHttp)))
    return base;
  throw new TypeError(
    `Cannot use ${JSON.stringify(url)} as the broker's address: tokens and secrets would travel in clear, write https://`,
  );
}
