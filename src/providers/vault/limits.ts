/** Cut from the life of a lease's token, so that the time its making takes cannot carry it past the lease's end. */
export const TOKEN_MARGIN_MS = 2_000;

/** A token that lives for less is of no use to a program. */
export const SHORTEST_TTL_SECONDS = 30;

/** Vault's own default for the longest lease of a mount is 32 days; a mount may be tuned further. */
export const LONGEST_TTL_SECONDS = 32 * 24 * 3600;

/** How long a JWT of ours is good for at the login: it is used once, at once. */
export const LOGIN_JWT_SECONDS = 60;

/** The part of the broker's own token's life after which it logs in anew. */
export const RELOGIN_FRACTION = 2 / 3;

/** Vault names tokens and metadata in its audit log; longer texts are cut. */
export const MAX_META_TEXT = 200;

export const MAX_POLICIES = 32;
export const MAX_SECRETS = 8;
export const MAX_PATH_LENGTH = 512;
export const MAX_DATA_ENTRIES = 32;

/**
 * Vault revokes what was read with a token in the background. The n-th wait is 2^n times the first, up to the longest:
 * about seven seconds in all, well within what one attempt to end may take.
 */
export const FIRST_WAIT_MS = 5;
export const LONGEST_WAIT_MS = 2_000;
export const MAX_WAITS = 11;

/** How long the credential of a self-test would live, if we died in the middle of it. */
export const SELF_TEST_SECONDS = 60;
