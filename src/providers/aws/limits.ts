/** AssumeRole's `DurationSeconds`: 900 at least, and 12 hours at most where the role allows it (AWS STS API reference). */
export const SHORTEST_SESSION_SECONDS = 900;
export const LONGEST_SESSION_SECONDS = 43_200;

/** "Role chaining limits your session to a maximum of one hour" (IAM user guide, "Role chaining"). */
export const LONGEST_CHAINED_SECONDS = 3_600;

/** Shorter leases end by a dated Deny; below this a program has hardly signed its first request. */
export const SHORTEST_TTL_SECONDS = 10;

/** Characters of the inline session policy and the ARNs of managed ones together (IAM user guide, "IAM and STS quotas"). */
export const MAX_SESSION_POLICY_CHARS = 2_048;
export const MAX_POLICY_ARNS = 10;
export const MAX_SESSION_TAGS = 50;
export const MAX_TAG_KEY_CHARS = 128;
export const MAX_TAG_VALUE_CHARS = 256;

/** Statements in a grant's session policy: more do not fit into its characters. */
export const MAX_STATEMENTS = 32;

/** How far the clock of AWS may be from ours before its instants are trusted no longer. Its instants are whole seconds. */
export const CLOCK_TOLERANCE_MS = 6_000;

/** How long a token of ours for STS lives: it is used at once, and AWS allows for no more than minutes of skew. */
export const IDENTITY_TOKEN_SECONDS = 300;

/** Attempts that the SDK makes for one call; our signal cuts them short. */
export const MAX_ATTEMPTS = 3;
export const CONNECT_TIMEOUT_MS = 5_000;
export const REQUEST_TIMEOUT_MS = 12_000;

/**
 * Denials that one role may bear at once. Inline policies of a role total 10,240 characters without white space, and
 * one denial takes about 150: what remains is for the role's own policies and for one that covers all sessions.
 */
export const DEFAULT_MAX_DENIALS = 55;

/** "Changes take a few minutes" (IAM user guide, "Revoke IAM role temporary security credentials"): what we state. */
export const PROPAGATION_SECONDS = 300;

/** How long after its session has lapsed a denial is collected: past any difference of clocks. */
export const COLLECT_AFTER_MS = 900_000;

/** Roles that one target may deny sessions of. */
export const MAX_DENIAL_ROLES = 64;

/** The answer of the sign-in endpoint is a token of some kilobytes. */
export const MAX_SIGNIN_ANSWER_BYTES = 65_536;
