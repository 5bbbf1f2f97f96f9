import pLimit, { type LimitFunction } from 'p-limit';
import { ProviderError } from '../errors.ts';
import type { BrokerLimits } from '../limits.ts';
import type { ProviderKind, Target } from '../providers/provider.ts';

/** A configured target with what protects it and us from each other. */
export interface LiveTarget {
  readonly name: string;
  readonly kind: ProviderKind;
  readonly target: Target;
  readonly minting: Lane;
  readonly ending: Lane;
}

/** One direction of work at one target: so many at once, so many waiting, and none while its breaker is open. */
export interface Lane {
  /** Whether one more may come: null, or after how many milliseconds to ask again. */
  refusal(now: number): { readonly why: 'full' | 'open'; readonly retryAfterMs: number } | null;
  /** How many more can be under way at once. 0 while the breaker is open. */
  room(now: number): number;
  /** Runs the work when it is its turn, and counts its failure or success. */
  run<T>(work: () => Promise<T>, now: () => number): Promise<T>;
}

export function createLane(concurrency: number, queue: number, limits: BrokerLimits): Lane {
  const limit: LimitFunction = pLimit(concurrency);
  const breaker = createBreaker(limits.breakerFailures, limits.breakerOpenMs);
  return {
    refusal(now) {
      const openForMs = breaker.openForMs(now);
      if (openForMs > 0) return { why: 'open', retryAfterMs: openForMs };
      if (limit.pendingCount >= queue) return { why: 'full', retryAfterMs: 1_000 };
      return null;
    },
    room(now) {
      if (breaker.openForMs(now) > 0) return 0;
      // While the breaker probes, one attempt is enough to learn from.
      const room = concurrency - limit.activeCount - limit.pendingCount;
      return Math.max(0, breaker.probing(now) ? Math.min(1, room) : room);
    },
    run(work, now) {
      return limit(async () => {
        try {
          const result = await work();
          breaker.succeeded();
          return result;
        } catch (error) {
          if (tellsOfTrouble(error)) breaker.failed(now());
          else breaker.succeeded();
          throw error;
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
  return {
    openForMs: (now) =>
      failures < failuresToOpen ? 0 : Math.min(openMs, Math.max(0, openedAt + openMs - now)),
    probing: (now) => failures >= failuresToOpen && now >= openedAt + openMs,
    succeeded() {
      failures = 0;
    },
    failed(now) {
      failures++;
      openedAt = now;
    },
  };
}
