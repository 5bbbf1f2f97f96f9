import type { Broker } from '../broker/broker.ts';
import { type Fallback, look } from '../broker/fallback.ts';
import { LOOK_EVERY_MS } from '../broker/fallback-state.ts';

/** Looks again and again whether the issuers can be reached that others stand in for. No request can cause a look. */
export async function runFallbacks(
  broker: Broker,
  fallbacks: readonly Fallback[],
  signal: AbortSignal,
): Promise<void> {
  if (fallbacks.length === 0) return;
  while (!signal.aborted) {
    const looks = await Promise.allSettled(fallbacks.map((fallback) => look(broker, fallback, signal)));
    for (const made of looks)
      if (made.status === 'rejected')
        broker.log.warn({ err: made.reason }, 'cannot write down whether an issuer can be reached');
    await broker.runtime.sleep(LOOK_EVERY_MS, signal).catch(() => {});
  }
}
