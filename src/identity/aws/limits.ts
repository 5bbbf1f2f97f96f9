/** Bounds of AWS signed identities, each with its reason. */

/** Session tokens have up to a few KiB, and no header is larger than this. */
export const HEADER_MAX_CHARS = 8_192;

/** The token of all headers, in base64url. */
export const TOKEN_MAX_CHARS = 16_384;

/** STS answers in under a KiB. */
export const ANSWER_MAX_BYTES = 16_384;

/** Questions to STS under way at once: what strangers can make us send is bounded by it. */
export const QUESTIONS_MAX = 32;

/** STS answers in tens of milliseconds. */
export const QUESTION_TIMEOUT_MS = 5_000;

/** Five minutes for a request to be made, sent and used. STS itself allows about as much. */
export const DEFAULT_MAX_AGE_SECONDS = 300;
export const MAX_AGE_SECONDS_MAX = 900;

/** Answers that are remembered, so that asking again costs nothing. */
export const VERIFIED_MAX = 1_000;
