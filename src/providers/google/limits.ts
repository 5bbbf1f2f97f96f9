/**
 * The longest access token, and the longest where the organisation policy
 * `constraints/iam.allowServiceAccountCredentialLifetimeExtension` lists the account.
 * https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
 */
export const LONGEST_TTL_SECONDS = 3_600;
export const LONGEST_EXTENDED_TTL_SECONDS = 43_200;

/** A token that lives for less is of no use to a program. */
export const SHORTEST_TTL_SECONDS = 60;

/** An ID token always lives for an hour: Google takes no lifetime for it. */
export const ID_TOKEN_SECONDS = 3_600;

/** Cut from a token's life: its making takes time, and the two clocks differ. */
export const TOKEN_MARGIN_MS = 5_000;

/** How long a JWT of ours is good for at the exchange: it is used once, at once. */
export const SUBJECT_TOKEN_SECONDS = 300;

/** What one call may take when nobody aborts it before: longer than the broker waits for a mint. */
export const CALL_TIMEOUT_MS = 30_000;

export const MAX_SCOPES = 32;
export const MAX_DELEGATES = 4;

/** https://cloud.google.com/iam/docs/downscoping-short-lived-credentials */
export const MAX_BOUNDARY_RULES = 10;

/** How long the token of a self-test lives. */
export const SELF_TEST_SECONDS = 60;
