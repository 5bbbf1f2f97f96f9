/** Whether this process may go by its clock: it agrees with the store's, which all replicas share. */
export interface Clock {
  /**
   * What is wrong with the clock, or null. Asks the store when the clock has moved since it was last asked, and now
   * and then, since the store's can move too. Throws `store-unavailable` when it has to ask and nobody answers.
   */
  fault(): Promise<string | null>;
  /** The same, and always asks. */
  compare(): Promise<string | null>;
}

export interface ClockOptions {
  /** The clock in question, in milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds since any instant, by a clock that nobody can set. */
  readonly steady: () => number;
  readonly storeClock: () => Promise<number>;
  /** How far the two may differ. */
  readonly toleranceMs: number;
}

/** A step that is larger than this is looked into at once. Smaller ones add up to less than the tolerance between two looks. */
const STEP_MS = 1_000;

/** The store's clock may be set as well, which no clock of ours shows: it is asked again after this. */
const COMPARE_EVERY_MS = 10_000;

/**
 * Watches a clock that somebody may set while we run. Between two comparisons with the store it is held against a clock
 * that only goes forward, which costs no request: so a jump is noticed by the first who asks after it.
 */
export function createClock({ now, steady, storeClock, toleranceMs }: ClockOptions): Clock {
  /** What the clock was ahead of the steady one when it last agreed with the store, and when that was. */
  let agreed: { readonly ahead: number; readonly at: number } | null = null;
  let asking: Promise<string | null> | null = null;

  async function ask(): Promise<string | null> {
    const from = steady();
    const theirs = await storeClock();
    const at = steady();
    const until = now();
    // The store said it some time between our question and its answer.
    const earliest = until - (at - from);
    const offMs = Math.round(Math.max(0, earliest - theirs, theirs - until));
    agreed = offMs <= toleranceMs ? { ahead: until - at, at } : null;
    return agreed ? null : `this clock and the store's differ by ${offMs} ms: set one of them right`;
  }

  function compare(): Promise<string | null> {
    asking ??= ask().finally(() => {
      asking = null;
    });
    return asking;
  }

  return {
    async fault() {
      if (agreed !== null) {
        const at = steady();
        const step = Math.abs(now() - at - agreed.ahead);
        if (step <= STEP_MS && at - agreed.at <= COMPARE_EVERY_MS) return null;
      }
      return compare();
    },
    compare,
  };
}
