/** How long a signed request is good for: it is used once, at once, and the two clocks may differ a little. */
export const REQUEST_TOKEN_SECONDS = 60;

/** The service keeps the time itself, so a year is only a bound. */
export const SHORTEST_TTL_SECONDS = 1;
export const LONGEST_TTL_SECONDS = 366 * 24 * 3600;

/** Bytes of a scope, as JSON. */
export const MAX_SCOPE_BYTES = 16_384;

/** Members of a secret, and characters of each: certificates and key files are a few thousand. */
export const MAX_SECRET_MEMBERS = 32;
export const MAX_SECRET_TEXT = 65_536;

/** Bytes of a handle and of evidence, as JSON: both are stored. */
export const MAX_KEPT_BYTES = 8_192;

/** A secret's member of fewer characters is a port or a region rather than a secret, and may stand in a handle. */
export const SHORTEST_SECRET = 12;

/** Pages of an inventory, and names on each. */
export const MAX_PAGES = 10_000;
export const MAX_PAGE_NAMES = 10_000;

/** How long the credential of a self-test would live, if we died in the middle of it. */
export const SELF_TEST_SECONDS = 60;
