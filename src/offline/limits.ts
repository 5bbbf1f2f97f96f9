/** Bounds of sealed kits, each with its reason. */

/** One code alone would be a password in one hand. The library that shares the key takes no less either. */
export const THRESHOLD_MIN = 2;

/** More people than can be woken. */
export const HOLDERS_MAX = 20;

/** A year: whoever holds a code has left by then, or has lost it. */
export const LIFETIME_MAX_SECONDS = 366 * 86_400;

/** A configuration, its certificates and its secrets. */
export const KIT_MAX_BYTES = 4 * 1024 * 1024;

/** One answer that it is ready is enough to refuse: only a broker that answers nobody, several times, counts as away. */
export const HEALTH_ATTEMPTS = 3;
export const HEALTH_PAUSE_MS = 1_000;
export const HEALTH_TIMEOUT_MS = 5_000;

/** How long a kit waits, when its command has ended, for its credentials to end: as long as a target may take, twice. */
export const ENDING_PATIENCE_MS = 90_000;
