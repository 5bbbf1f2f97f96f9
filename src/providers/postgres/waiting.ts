import type { Runtime } from '../../runtime.ts';
import { gaveUp } from './connections.ts';
import { FIRST_WAIT_MS, LONGEST_WAIT_MS } from './limits.ts';

/** The n-th wait of a row: each is twice as long as the one before, up to the longest. */
export async function pause(runtime: Runtime, n: number, doing: string, signal: AbortSignal): Promise<void> {
  try {
    await runtime.sleep(Math.min(FIRST_WAIT_MS * 2 ** n, LONGEST_WAIT_MS), signal);
  } catch {
    throw gaveUp(doing, signal);
  }
}
