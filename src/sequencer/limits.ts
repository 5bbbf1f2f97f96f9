/** The bounds of the sequencer, each with its reason. */

/** Commits in one batch: at most some ten thousand events, a few megabytes. */
export const BATCH_GROUPS = 256;
/**
 * Between two looks: with the batch's own time well below the second that is promised, and no shorter after a batch,
 * since each costs as much as many requests do. More load makes larger batches.
 */
export const PAUSE_MS = 250;
/** After a batch that was as large as may be. */
export const BACKLOG_PAUSE_MS = 50;
/** After a failure: the store is away, and asking faster does not bring it back. */
export const RETRY_MS = 1_000;
/** For how long a claim holds: far longer than a batch takes, and no longer than events may wait when its holder dies. */
export const CLAIM_MS = 5_000;
/** How often what was seen of the log is put on disk, while it grows. */
export const REMEMBER_EVERY_MS = 1_000;
/** How often the partitions to come are seen to. They are made a month ahead. */
export const PARTITION_EVERY_MS = 3_600_000;
