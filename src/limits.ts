/** Bounds and waits of the broker's core. Configuration may change those that `BrokerLimits` names. */
export interface BrokerLimits {
  /** How long a target may take to mint. Long enough for a loaded database, short enough for a waiting job. */
  readonly mintTimeoutMs: number;
  /** From intent until nothing can come into being any more: the time-out, and a margin for clocks that differ. */
  readonly mintWindowMs: number;
  /** How long one attempt to end may take. */
  readonly endTimeoutMs: number;
  /** For how long a claim of the reaper holds; longer than an attempt, so that a live process is not doubled. */
  readonly claimMs: number;
  /** Mints under way at one target. */
  readonly mintConcurrency: number;
  /** Mints that wait for one target; past that the broker sheds before intent. */
  readonly mintQueue: number;
  /** Endings under way at one target: separate from minting, so that neither starves the other. */
  readonly endConcurrency: number;
  /** The first wait after an ending that failed; it doubles each time ... */
  readonly endRetryFirstMs: number;
  /** ... up to this. There is no last attempt. */
  readonly endRetryCapMs: number;
  /** Consecutive failures of a target that open its breaker. */
  readonly breakerFailures: number;
  /** For how long an open breaker refuses before it lets one attempt through. */
  readonly breakerOpenMs: number;
  /** How long completing or revoking waits for the end before it answers that the reaper has it. */
  readonly endWaitMs: number;
  /** The reaper looks at least this often, so that it sees what other replicas wrote. */
  readonly reaperIdleMs: number;
  /** Leases that one look claims, over all targets. */
  readonly reaperBatch: number;
  /** A lease is overdue when it should have ended and has not for this long. */
  readonly overdueAfterMs: number;
  /** How often each target's inventory is compared with the leases. */
  readonly sweepEveryMs: number;
  /** How often the open sessions of credentials are looked at, where a target shows them. */
  readonly observeEveryMs: number;
  /** How far a replica's clock may be from the database's before it is not ready. */
  readonly clockToleranceMs: number;
}

export const defaultLimits: BrokerLimits = {
  mintTimeoutMs: 15_000,
  mintWindowMs: 20_000,
  endTimeoutMs: 30_000,
  claimMs: 60_000,
  mintConcurrency: 16,
  mintQueue: 256,
  endConcurrency: 16,
  endRetryFirstMs: 1_000,
  endRetryCapMs: 300_000,
  breakerFailures: 5,
  breakerOpenMs: 5_000,
  endWaitMs: 20_000,
  reaperIdleMs: 1_000,
  reaperBatch: 256,
  overdueAfterMs: 60_000,
  sweepEveryMs: 600_000,
  observeEveryMs: 10_000,
  clockToleranceMs: 5_000,
};

/** Units in one group of the group commit: bounds the statement and what one failure touches. */
export const COMMIT_GROUP_UNITS = 128;

/** Groups that are being written at once: while the store makes one durable, it works on the next. */
export const COMMIT_WRITERS = 2;

/** Units that wait for the group commit; past that the broker sheds before intent. */
export const COMMIT_QUEUE_UNITS = 4_096;

/** The same for units that only take further what has begun: an intent that was taken finds room for its end. */
export const COMMIT_QUEUE_FINISHING_UNITS = 3 * COMMIT_QUEUE_UNITS;

/** Attempts of one group whose transaction collided with another replica's. Each retry sees what won. */
export const COMMIT_ATTEMPTS = 10;
