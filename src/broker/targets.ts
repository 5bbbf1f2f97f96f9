import pLimit, { type LimitFunction } from 'p-limit';
import { ProviderError } from '../errors.ts';
import type { BrokerLimits } from '../limits.ts';
import type { ProviderKind, Target } from '../providers/provider.ts';
import type { Coverage } from '../store/target-watch.ts';

/** A configured target with what protects it and us from each other. */
export interface LiveTarget {
  readonly name: string;
  readonly kind: ProviderKind;
  readonly target: Target;
  readonly minting: Lane;
  readonly ending: Lane;
  /** How far back looks at its sessions follow each other, as this replica last read it. Only the observer sets it. */
  coverage: Coverage | null;
}

/** The longest time between two looks that still follow each other: a replica that takes over from a dead one is in time. */
export function watchGapMs(limits: BrokerLimits): number {
  return 3 * limits.observeEveryMs;
}

/** One direction of work at one target: so many at once, so many waiting, and none while its breaker is open. */
export interface Lane {
  /** Whether one more may come: null, or after how many milliseconds to ask again. */
  refusal(now: number): { readonly why: 'full' | 'open'; readonly retryAfterMs: number } | null;
  /** How many more can be under way at once. 0 while the breaker is open. */
  room(now: number): number;
  /**
   * Runs the work when it is its turn, and counts its failure or success. `tooLate` is asked then: work that came too
   * late is not begun and fails with what it answers, which tells nothing of the target.
   */
  run<T>(work: () => Promise<T>, now: () => number, tooLate?: () => Error | null): Promise<T>;
}

/** How much the newest duration counts against all before it. */
const NEWEST_SHARE = 0.2;

/** Nobody is let in who would wait for longer than `longestWaitMs`, as far as the durations up to now can tell. */
export function createLane(
  concurrency: number,
  queue: number,
  longestWaitMs: number,
  limits: BrokerLimits,
): Lane {
  let tookMs = 0;
  const limit: LimitFunction = pLimit(concurrency);
  const breaker = createBreaker(limits.breakerFailures, limits.breakerOpenMs);
  const isBusy = () => limit.activeCount + limit.pendingCount > 0;
  return {
    refusal(now) {
      const openForMs = breaker.openForMs(now);
      if (openForMs > 0) return { why: 'open', retryAfterMs: openForMs };
      // One attempt is enough to learn from.
      if (breaker.probing(now) && isBusy()) return { why: 'open', retryAfterMs: 1_000 };
      const waitMs = (limit.pendingCount / concurrency) * tookMs;
      if (limit.pendingCount < queue && waitMs <= longestWaitMs) return null;
      return { why: 'full', retryAfterMs: Math.max(1_000, waitMs - longestWaitMs) };
    },
    room(now) {
      if (breaker.openForMs(now) > 0) return 0;
      if (breaker.probing(now)) return isBusy() ? 0 : 1;
      return Math.max(0, concurrency - limit.activeCount - limit.pendingCount);
    },
    run(work, now, tooLate = () => null) {
      return limit(async () => {
        const late = tooLate();
        if (late !== null) throw late;
        const begunAt = now();
        try {
          const result = await work();
          breaker.succeeded();
          return result;
        } catch (error) {
          if (tellsOfTrouble(error)) breaker.failed(now());
          else breaker.succeeded();
          throw error;
        } finally {
          // A clock that was set in between measures nothing.
          const lastedMs = Math.min(Math.max(0, now() - begunAt), 2 * longestWaitMs);
          tookMs += NEWEST_SHARE * (lastedMs - tookMs);
        }
      });
    },
  };
}

/** A target that refuses what was asked is well; one that does not answer, fails or is overrun is not. */
function tellsOfTrouble(error: unknown): boolean {
  if (!(error instanceof ProviderError)) return true;
  return error.code !== 'target-refused' && error.code !== 'target-forbidden';
}

interface Breaker {
  /** For how much longer nothing may be sent; 0 when closed, or when a probe may go. */
  openForMs(now: number): number;
  /** Whether it was open, and the next attempt decides. */
  probing(now: number): boolean;
  succeeded(): void;
  failed(now: number): void;
}

/** Opens after so many failures in a row, and after a while lets attempts through again: the first to finish decides. */
function createBreaker(failuresToOpen: number, openMs: number): Breaker {
  let failures = 0;
  let openedAt = 0;
  function openForMs(now: number): number {
    if (failures < failuresToOpen) return 0;
    // A clock that was set back must not keep it open for as long as it was set back.
    openedAt = Math.min(openedAt, now);
    return Math.max(0, openedAt + openMs - now);
  }
  return {
    openForMs,
    probing: (now) => failures >= failuresToOpen && openForMs(now) === 0,
    succeeded() {
      failures = 0;
    },
    failed(now) {
      failures++;
      openedAt = now;
    },
  };
}
