/** The bounds of policy, each with its reason. */

/** Patterns in one list. A longer list is a group at the issuer. */
export const MAX_PATTERNS = 100;
/** Characters of one glob: with `MAX_MATCHED_LENGTH` it bounds the work of a match. */
export const MAX_GLOB_LENGTH = 256;
/** Code units of a value that a glob looks at. Longer values match no glob; claims come in tokens of a few kilobytes. */
export const MAX_MATCHED_LENGTH = 16_384;
/** Members of a claim's path. */
export const MAX_CLAIM_DEPTH = 8;

/** Those who may act for a principal, one for another: as deep as grants can name them. */
export const MAX_ACTORS = 3;

/** Characters of a task's name, as in the contract of the API. */
export const MAX_TASK_LENGTH = 200;
/** Characters of a purpose, as in the contract of the API. */
export const MAX_PURPOSE_LENGTH = 1000;
/** Characters of a ticket, as in the contract of the API. */
export const MAX_TICKET_LENGTH = 200;
/** Characters of a string parameter, whatever its rule allows. */
export const MAX_PARAMETER_LENGTH = 1000;
/** Parameters of one grant. */
export const MAX_PARAMETERS = 50;
/** Values in an `enum`. */
export const MAX_ENUM = 500;
/** Credentials of one grant, as in the contract of the API. */
export const MAX_CREDENTIALS = 20;

/** Characters, syntax nodes and nesting of one CEL expression: evaluation is linear in its nodes. */
export const MAX_CONDITION = { characters: 2000, nodes: 500, depth: 30 } as const;

/** The longest time that renewals may carry a lease. */
export const MAX_CAP_SECONDS = 365 * 86_400;
/** The longest that a break-glass credential may live, renewals included: what takes longer has time to be asked for. */
export const MAX_BREAK_GLASS_SECONDS = 3_600;
/** The longest that a review of it may take to fall due. */
export const MAX_REVIEW_SECONDS = 30 * 86_400;
/** Under ten seconds a network's hiccup ends tasks; over a day a TTL does better. */
export const HEARTBEAT_SECONDS = { min: 10, max: 86_400 } as const;
/** A task grant is for one run; what lives longer belongs into the file. */
export const MAX_TASK_GRANT_SECONDS = 30 * 86_400;
export const MAX_TASK_GRANT_USES = 10_000;
/** Live leases and issues an hour: above it the number is a typing error. */
export const MAX_LIMIT = 1_000_000;

/** Characters of a claim's value in an explanation. */
export const MAX_SHOWN = 200;
