/**
 * Bounds and defaults of OIDC identities, each with its reason. Durations carry their unit in the name.
 */

// ---- The token -------------------------------------------------------------------------------------------------------

/** Real tokens are 1 to 4 KiB; Node refuses request headers above 16 KiB altogether. */
export const TOKEN_MAX_CHARS = 16_384;

/** `kubernetes.io` nests three levels, rich authorization details about six. */
export const JSON_MAX_DEPTH = 16;

/** GitHub's tokens have about thirty members, counting those of nested objects. */
export const JSON_MAX_MEMBERS = 512;

/** A SPIFFE ID, the longest kind of subject that we know of, has at most 2048 bytes. */
export const SUBJECT_MAX_CHARS = 2_048;

/** Key ids are thumbprints or UUIDs. */
export const KEY_ID_MAX_CHARS = 512;

/** A `jti` is a UUID or a hash. */
export const TOKEN_ID_MAX_CHARS = 1_024;

/** Tokens are for one audience; some list a few. */
export const AUDIENCES_MAX = 32;

/** The last second of the year 9999: later instants have no RFC 3339 form, and nobody means them. */
export const NUMERIC_DATE_MAX = 253_402_300_799;

// ---- What an operator may set ----------------------------------------------------------------------------------------

/** RS256 is what every issuer can do (OpenID Connect Core, section 15.1), ES256 what good ones do. */
export const DEFAULT_ALGORITHMS = ['RS256', 'ES256'] as const;

/**
 * A day: longer than nearly every job, as long as a kubelet keeps a projected token, and far shorter than the year
 * that legacy Kubernetes tokens live. GitLab's `exp` is the job's time-out, which may be a month: `exp` alone is no bound.
 */
export const DEFAULT_MAX_AGE_SECONDS = 86_400;

/** A month: GitLab's longest job. */
export const MAX_AGE_SECONDS_MAX = 2_678_400;

/** Clocks kept by NTP differ by far less; machines freshly started by a few seconds. */
export const DEFAULT_CLOCK_TOLERANCE_SECONDS = 30;

/** RFC 7519, section 4.1.4: "usually no more than a few minutes". */
export const CLOCK_TOLERANCE_SECONDS_MAX = 300;

/** Names in one list of the configuration. */
export const SETTING_LIST_MAX = 64;

// ---- Keys ------------------------------------------------------------------------------------------------------------

/** Time for discovery and keys together: an issuer that is slower than this is as good as gone. */
export const KEYS_FETCH_TIMEOUT_MS = 5_000;

/** Discovery documents are 1 to 8 KiB. */
export const DISCOVERY_MAX_BYTES = 65_536;

/** A hundred RSA keys of 4096 bits with certificates chained to them. */
export const KEYS_MAX_BYTES = 524_288;

/** Issuers publish two to ten keys. More than this is not a key set that was meant for us. */
export const KEYS_MAX = 100;

/** A token without `kid` is tried against this many keys that fit its algorithm, so that a stranger cannot buy work. */
export const CANDIDATE_KEYS_MAX = 8;

/** RFC 7518, section 3.3: smaller RSA keys must not be used. */
export const RSA_BITS_MIN = 2_048;

/** The cost of a verification grows with the square of the modulus. */
export const RSA_BITS_MAX = 8_192;

/** How long fetched keys are used unasked: how late a key's removal is noticed. Issuers announce rotation days ahead. */
export const KEYS_FRESH_MS = 600_000;

/** How long known keys outlast an outage of their issuer; after that its tokens are refused. */
export const KEYS_STALE_MAX_MS = 7_200_000;

/** After a success, an unknown `kid` asks again at most this often, however many arrive. */
export const UNKNOWN_KEY_COOLDOWN_MS = 30_000;

/** After a failure: soon enough to notice recovery, seldom enough not to hold an issuer down. */
export const KEYS_RETRY_MS = 5_000;

// ---- Verified tokens -------------------------------------------------------------------------------------------------

/** About 5 MB at usual sizes; a fleet's jobs in the minutes between a task's calls. */
export const VERIFIED_TOKENS_MAX = 1_000;
