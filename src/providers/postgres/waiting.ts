import type { Runtime } from '../../runtime.ts';
import { gaveUp } from './connections.ts';
import { FIRST_WAIT_MS, LONGEST_WAIT_MS } from './limits.ts';

/** The n-th wait of a row: each is about twice as long as the one before, up to the longest, and differs from those of others. */
export async function pause(runtime: Runtime, n: number, doing: string, signal: AbortSignal): Promise<void> {
  try {
    const ms = Math.min(FIRST_WAIT_MS * 2 ** n, LONGEST_WAIT_MS);
    const [random = 0] = runtime.randomBytes(1);
    await runtime.sleep(ms * (0.5 + random / 256), signal);
  } catch {
    throw gaveUp(doing, signal);
  }
}
