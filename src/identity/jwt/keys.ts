import { z } from 'zod';
import { err, ok, type Result } from '../../result.ts';
import type { Runtime } from '../../runtime.ts';
import { createGetJson, type GetJson } from './fetch.ts';
import { createKeySet, type Jwk, type KeySet, readKeys } from './jwks.ts';
import { DISCOVERY_MAX_BYTES, KEYS_FRESH_MS, KEYS_MAX_BYTES } from './limits.ts';
import { pinnedSource, refreshedSource, type Source } from './refreshed.ts';
import { announcedUrlFault, discoveryUrl } from './urls.ts';

/** Where an issuer's keys come from. */
export type KeyLocation =
  | { readonly kind: 'pinned'; readonly keys: readonly Jwk[] }
  | { readonly kind: 'uri'; readonly uri: string }
  | { readonly kind: 'discovery' };

export interface KeySettings {
  readonly issuer: string;
  readonly keys: KeyLocation;
  /** PEM; absent: the roots that Node trusts. */
  readonly ca?: string;
  readonly allowInsecureHttp: boolean;
  /** What is sent as `Authorization` with each fetch, for issuers that publish their keys to those they know. */
  readonly authorization?: () => Promise<Result<string, string>>;
}

export type KeySource = Source<KeySet>;

/** The keys of one OIDC issuer: pinned, or fetched from the configured host and from no other. */
export function createKeySource(settings: KeySettings, runtime: Runtime): KeySource {
  if (settings.keys.kind === 'pinned') return pinnedSource(createKeySet(settings.keys.keys));
  const getJson = createGetJson(runtime, settings.ca, settings.authorization);
  return refreshedSource(runtime, async (signal) => {
    const keys = await fetchKeys(settings, getJson, signal);
    if (!keys.ok) return keys;
    const content = keys.value.map((key) => JSON.stringify(key));
    return ok({ value: createKeySet(keys.value), content, freshMs: KEYS_FRESH_MS });
  });
}

const discoveryDocument = z.object({ issuer: z.string(), jwks_uri: z.string() });

/** One fetch from the configured host, or two of which the first says where on that host the second goes. */
async function fetchKeys(
  settings: KeySettings,
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
  { issuer, allowInsecureHttp }: KeySettings,
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
