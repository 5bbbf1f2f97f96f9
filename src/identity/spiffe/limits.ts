/** Bounds of SPIFFE identities, each with its reason. */

/** A hundred authorities with keys of 4096 bits. */
export const BUNDLE_MAX_BYTES = 524_288;

/** What the standard advises where a bundle gives no hint. */
export const REFRESH_DEFAULT_MS = 300_000;

/** A hint of a second would make us hammer the endpoint ... */
export const REFRESH_MIN_MS = 30_000;

/** ... and one of a week would keep a withdrawn key for as long. */
export const REFRESH_MAX_MS = 3_600_000;

/** Whoever writes a bundle file expects it to be noticed soon. */
export const FILE_FRESH_MS = 30_000;
