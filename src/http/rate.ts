import { LRUCache } from 'lru-cache';
import type { Rate } from './limits.ts';

/** Says for a key whether it may go on now: null, or in how many milliseconds. */
export type RateBound = (key: string, now: number) => number | null;

/**
 * A token bucket for each key (GCRA: one number a key, the instant at which its bucket is full again).
 * Remembers `maxKeys` keys at most and forgets the least recently used.
 */
export function createRateBound(rate: Rate | null, maxKeys: number): RateBound {
  if (!rate) return () => null;
  const intervalMs = 1000 / rate.perSecond;
  const toleranceMs = intervalMs * (rate.burst - 1);
  const fullAt = new LRUCache<string, number>({ max: maxKeys });
  return (key, now) => {
    // A clock that jumps back must not shut a caller out for longer than an empty bucket would.
    const due = Math.min(Math.max(fullAt.get(key) ?? now, now), now + toleranceMs + intervalMs);
    const waitMs = due - toleranceMs - now;
    fullAt.set(key, waitMs > 0 ? due : due + intervalMs);
    return waitMs > 0 ? waitMs : null;
  };
}

/** The key of a client address: an IPv6 client holds a whole /64, so that is what is counted. */
export function addressKey(address: string | undefined): string {
  if (!address) return 'unknown';
  const bare = address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/, '');
  if (!bare.includes(':')) return bare;
  const [head = '', tail] = bare.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':');
    while (groups.length + after.length < 8) groups.push('0');
    groups.push(...after);
  }
  return `${groups.slice(0, 4).join(':')}::/64`;
}
