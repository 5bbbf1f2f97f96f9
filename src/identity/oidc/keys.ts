import { z } from 'zod';
import { digestJson } from '../../json.ts';
import { err, ok, type Result } from '../../result.ts';
import { type Runtime, withDeadline } from '../../runtime.ts';
import { createGetJson, type GetJson } from './fetch.ts';
import { createKeySet, type Jwk, type KeySet, readKeys } from './jwks.ts';
import {
  DISCOVERY_MAX_BYTES,
  KEYS_FETCH_TIMEOUT_MS,
  KEYS_FRESH_MS,
  KEYS_MAX_BYTES,
  KEYS_RETRY_MS,
  KEYS_STALE_MAX_MS,
  UNKNOWN_KEY_COOLDOWN_MS,
} from './limits.ts';
import type { OidcSettings } from './settings.ts';
import { announcedUrlFault, discoveryUrl } from './urls.ts';

/** The keys of one issuer. Both methods never throw, and wait no longer than one bounded fetch or until `signal` aborts. */
export interface KeySource {
  /** The keys to verify with now, or in words for the operator why there are none. */
  current(signal: AbortSignal): Promise<Result<KeySet, string>>;
  /** Keys newer than `known`, which lacks the key that a token names; null when there are none or it is too soon to ask. */
  newerThan(known: KeySet, signal: AbortSignal): Promise<KeySet | null>;
}

export function createKeySource(settings: OidcSettings, runtime: Runtime): KeySource {
  if (settings.keys.kind === 'pinned') return createPinnedKeys(settings.keys.keys);
  const getJson = createGetJson(runtime, settings.ca);
  return createFetchedKeys(runtime, (signal) => fetchKeys(settings, getJson, signal));
}

function createPinnedKeys(keys: readonly Jwk[]): KeySource {
  const set = createKeySet(keys, 1);
  return { current: async () => ok(set), newerThan: async () => null };
}

type FetchKeys = (signal: AbortSignal) => Promise<Result<Jwk[], string>>;

/**
 * Keys that are fetched when they are first needed, again when they are no longer fresh, and when a token names a key
 * that is not among them. At most one fetch is under way; it is shared by all who wait and belongs to none of them.
 * While the issuer cannot be reached the known keys serve on, up to a bounded age. A clock that was set back
 * counts as time passed: it can cause a fetch, and never keeps old keys alive.
 */
function createFetchedKeys(runtime: Runtime, fetchKeys: FetchKeys): KeySource {
  let held: { set: KeySet; digest: string; fetchedAt: number } | undefined;
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
    const fetched = await withDeadline(runtime, KEYS_FETCH_TIMEOUT_MS, fetchKeys).catch(() =>
      err(`no answer within ${KEYS_FETCH_TIMEOUT_MS} ms`),
    );
    const now = runtime.now();
    attempt = { endedAt: now, failure: fetched.ok ? null : fetched.error };
    if (!fetched.ok) return;
    const digest = digestJson(fetched.value.map((key) => JSON.stringify(key)));
    const set =
      held?.digest === digest ? held.set : createKeySet(fetched.value, (held?.set.generation ?? 0) + 1);
    held = { set, digest, fetchedAt: now };
  }

  /** Joins the fetch that is under way, or starts one if it is time; then waits for it or for the signal. */
  async function ask(signal: AbortSignal): Promise<void> {
    if (!underWay && !mayAsk()) return;
    underWay ??= refresh().finally(() => {
      underWay = undefined;
    });
    await orAborted(underWay, signal);
  }

  return {
    async current(signal) {
      if (!held || olderThan(held.fetchedAt, KEYS_FRESH_MS)) await ask(signal);
      if (held && !olderThan(held.fetchedAt, KEYS_STALE_MAX_MS)) return ok(held.set);
      return err(attempt?.failure ?? 'the request was given up before an answer came');
    },
    async newerThan(known, signal) {
      if (held?.set.generation === known.generation) await ask(signal);
      return held && held.set.generation !== known.generation ? held.set : null;
    },
  };
}

const discoveryDocument = z.object({ issuer: z.string(), jwks_uri: z.string() });

/** One fetch from the configured host, or two of which the first says where on that host the second goes. */
async function fetchKeys(
  settings: OidcSettings,
  getJson: GetJson,
  signal: AbortSignal,
): Promise<Result<Jwk[], string>> {
  const uri =
    settings.keys.kind === 'uri' ? ok(settings.keys.uri) : await discoverKeysUri(settings, getJson, signal);
  if (!uri.ok) return uri;
  const document = await getJson(uri.value, KEYS_MAX_BYTES, signal);
  if (!document.ok) return err(`Cannot fetch the keys from "${uri.value}": ${document.error}`);
  const read = readKeys(document.value);
  return read.ok ? ok(read.value.keys) : err(`Cannot use what is at "${uri.value}": ${read.error}`);
}

async function discoverKeysUri(
  { issuer, allowInsecureHttp }: OidcSettings,
  getJson: GetJson,
  signal: AbortSignal,
): Promise<Result<string, string>> {
  const url = discoveryUrl(issuer);
  const document = await getJson(url, DISCOVERY_MAX_BYTES, signal);
  if (!document.ok) return err(`Cannot fetch "${url}": ${document.error}`);
  const parsed = discoveryDocument.safeParse(document.value);
  if (!parsed.success) return err(`Cannot use what is at "${url}": it lacks "issuer" or "jwks_uri"`);
  if (parsed.data.issuer !== issuer) {
    return err(
      `Cannot use what is at "${url}": it is of another issuer; write "issuer" exactly as it stands there`,
    );
  }
  const fault = announcedUrlFault(parsed.data.jwks_uri, issuer, allowInsecureHttp);
  return fault ? err(`Cannot use the "jwks_uri" at "${url}": ${fault}`) : ok(parsed.data.jwks_uri);
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
