/** PostgreSQL cuts longer names silently (NAMEDATALEN - 1); two of ours could then be one. */
export const MAX_NAME_BYTES = 63;

/** 256 bits: well past 192, where iterations of the hash stop mattering. */
export const PASSWORD_BYTES = 32;

/** RFC 7677 section 4: at least 4096; some clients refuse fewer. */
export const DEFAULT_SCRAM_ITERATIONS = 4096;

/** What node-postgres and others accept without being told. */
export const MAX_SCRAM_ITERATIONS = 100_000;

/** RFC 5802 leaves the length open; PostgreSQL itself uses 16 bytes. */
export const SCRAM_SALT_BYTES = 16;

/** Enough for a program with a pool; a leaked login cannot take every connection of the server. */
export const DEFAULT_CONNECTION_LIMIT = 10;

/**
 * How far the target's clock may lag behind ours before it is trusted no longer with `mintBefore` and `VALID UNTIL`.
 * The mint window is cut by as much, so that nothing comes into being after it by our clock either.
 */
export const CLOCK_LAG_TOLERANCE_MS = 1_000;

/** A clock that differs by more is reported by the self-test. */
export const CLOCK_SKEW_WARNING_MS = 500;

/** Each text in a role's comment, in characters: comments are read by people, and stored uncompressed. */
export const MAX_COMMENT_TEXT = 200;

/** Waits while ending: the n-th is 2^n times the first, up to the longest; about 10 seconds in all. */
export const FIRST_WAIT_MS = 5;
export const LONGEST_WAIT_MS = 500;
export const MAX_WAITS = 26;

/**
 * How often a transaction is run again because another changed the same row of a catalogue: of those that meet one
 * succeeds each time.
 */
export const MAX_COLLISIONS = 12;

/** Groups of logins that are ended at a time, and logins in one. */
export const END_GROUPS = 4;
export const END_GROUP_LOGINS = 32;

/** How long a group waits for a lock: who has to wait for longer goes on alone, and keeps no other. */
export const END_GROUP_LOCK_MS = 100;

/** Rounds of removing what it owns and dropping it, when somebody grants to it in between. */
export const MAX_DROPS = 4;

/** Times that `DROP OWNED` is tried in a database; what it leaves then, it cannot remove. */
export const MAX_DISOWN_ATTEMPTS = 2;

/** Pools of other databases that are kept; the one that was used longest ago gives way. */
export const MAX_OTHER_POOLS = 16;

/** Sessions of one login that its end tells of. */
export const MAX_SEEN = 16;

/** Kinds of open sessions (login, address, application) that one look at the server takes. */
export const MAX_OBSERVED = 20_000;

/** Roles that one inventory query reads. */
export const INVENTORY_PAGE = 1_000;

export const MAX_ROLES = 32;
export const MAX_STATEMENTS = 32;
export const MAX_STATEMENT_LENGTH = 10_000;
export const MAX_ROLE_SETTINGS = 32;

/** A login is of no use when it ends before a program has connected; no target expiry is too far for `VALID UNTIL`, so a year is only a bound. */
export const SHORTEST_TTL_SECONDS = 1;
export const LONGEST_TTL_SECONDS = 366 * 24 * 3600;

/** How long the login of a self-test would live, if we died in the middle of it. */
export const SELF_TEST_SECONDS = 60;
