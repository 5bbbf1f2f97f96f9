import { err, ok, type Result } from '../../result.ts';
import type { Runtime } from '../../runtime.ts';
import { readChangingFile } from '../files.ts';
import { createGetJson, parseJson } from '../jwt/fetch.ts';
import { refreshedSource, type Source } from '../jwt/refreshed.ts';
import { type Bundle, readBundle } from './bundle.ts';
import {
  BUNDLE_MAX_BYTES,
  FILE_FRESH_MS,
  REFRESH_DEFAULT_MS,
  REFRESH_MAX_MS,
  REFRESH_MIN_MS,
} from './limits.ts';

/** Where a trust domain's bundle is. */
export type BundleLocation =
  | { readonly kind: 'file'; readonly path: string }
  /** The https_web profile: the server is known by its certificate, of the usual roots or of `ca`. */
  | { readonly kind: 'https-web'; readonly url: string; readonly ca?: string };

/** The bundle of one trust domain, kept as fresh as it asks, within bounds. */
export function createBundleSource(location: BundleLocation, runtime: Runtime): Source<Bundle> {
  const fetchDocument = documentFetcher(location, runtime);
  return refreshedSource(runtime, async (signal, held) => {
    const document = await fetchDocument(signal);
    if (!document.ok) return document;
    const read = readBundle(document.value);
    if (!read.ok) return err(`Cannot use the bundle: ${read.error}`);
    const { bundle, content, refreshHintSeconds } = read.value;
    // An older bundle could bring back a key that was withdrawn.
    if (held?.sequence !== undefined && (bundle.sequence ?? -1) < held.sequence)
      return err(`Cannot use the bundle: its sequence went back from ${held.sequence}`);
    return ok({ value: bundle, content, freshMs: freshFor(location, refreshHintSeconds) });
  });
}

function documentFetcher(
  location: BundleLocation,
  runtime: Runtime,
): (signal: AbortSignal) => Promise<Result<unknown, string>> {
  if (location.kind === 'file') {
    const { path } = location;
    return async () => {
      const file = await readChangingFile(path);
      const document = file.ok ? parseJson({ body: file.value }) : file;
      return document.ok ? document : err(`Cannot use the bundle in "${path}": ${document.error}`);
    };
  }
  const { url, ca } = location;
  const getJson = createGetJson(runtime, ca);
  return async (signal) => {
    const document = await getJson(url, BUNDLE_MAX_BYTES, signal);
    return document.ok ? document : err(`Cannot fetch the bundle from "${url}": ${document.error}`);
  };
}

function freshFor(location: BundleLocation, hintSeconds: number | undefined): number {
  if (location.kind === 'file') return FILE_FRESH_MS;
  if (hintSeconds === undefined) return REFRESH_DEFAULT_MS;
  return Math.min(REFRESH_MAX_MS, Math.max(REFRESH_MIN_MS, hintSeconds * 1000));
}
