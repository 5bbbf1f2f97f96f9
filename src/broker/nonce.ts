import { createHmac, timingSafeEqual } from 'node:crypto';

/** How long one nonce is given out; it is good for as long again. */
const PERIOD_MS = 5 * 60_000;

/**
 * Nonces for proofs of possession (RFC 9449, section 8): a proof that carries one was made lately, whatever the clock of
 * its maker says. Nothing is stored: a nonce is the number of its period and a MAC of that, by a key that all replicas share.
 */
export interface Nonces {
  /** The one to give out at `now`, in milliseconds since the epoch. */
  at(now: number): string;
  /** Until when a nonce is good; null when it is not ours, or has lapsed. */
  goodUntil(nonce: string, now: number): number | null;
}

export function createNonces(key: Uint8Array): Nonces {
  const make = (period: number): string => {
    const mac = createHmac('sha256', key).update(`dpop-nonce:${period}`).digest();
    return `${period.toString(36)}.${mac.toString('base64url', 0, 16)}`;
  };
  return {
    at: (now) => make(Math.floor(now / PERIOD_MS)),
    goodUntil(nonce, now) {
      const current = Math.floor(now / PERIOD_MS);
      // The next one too: the clock of the replica that gave it may be a little ahead.
      const period = [current, current - 1, current + 1].find((candidate) => equal(nonce, make(candidate)));
      return period === undefined ? null : (period + 2) * PERIOD_MS;
    },
  };
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
