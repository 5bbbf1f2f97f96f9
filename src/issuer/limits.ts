/** The bounds of the broker as an issuer, each with its reason. */

const HOUR_MS = 3_600_000;

/** How long a key signs before the next takes over, where the configuration says nothing. */
export const DEFAULT_ROTATE_EVERY_MS = 30 * 24 * HOUR_MS;

/**
 * How long a key is published before it signs: relying parties keep a key set for minutes to hours, and one that sees an
 * unknown key does not always ask again.
 */
export const PUBLISH_AHEAD_MS = 24 * HOUR_MS;

/** The longest life of an identity token: an exchange takes seconds; an hour is what clouds accept at the most. */
export const MAX_TOKEN_SECONDS = 3_600;

/**
 * How long a key stays published after the next one took over: the longest token, the time that a replica may go on
 * signing with it until it reads the keys again, and a margin for clocks.
 */
export const RETIRE_AFTER_MS = MAX_TOKEN_SECONDS * 1000 + HOUR_MS;

/** How often a replica reads the keys anew: far below the time that a key is published ahead. */
export const RELOAD_MS = 5 * 60_000;

/** How far back `nbf` lies: the relying party's clock may be behind ours. */
export const CLOCK_MARGIN_SECONDS = 30;

/** RFC 7518 section 3.3 asks for 2048 bits at least. */
export const RSA_BITS = 2048;

/** Master keys in one ring: the one that seals, and those that older envelopes need. */
export const MAX_MASTER_KEYS = 8;

/** AES-256. */
export const MASTER_KEY_BYTES = 32;

/** One answer of a key management service: it takes milliseconds. */
export const KMS_TIMEOUT_MS = 5_000;

/** How long a start waits for a key management service, attempt by attempt: a start then fails, and whoever runs it tries again. */
export const KMS_WAITS_MS: readonly number[] = [1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000];

/** A program that prints the master key may ask a hardware token or a service. */
export const KEY_COMMAND_TIMEOUT_MS = 30_000;

/** Far above a full ring. */
export const MAX_KEY_COMMAND_BYTES = 4_096;
