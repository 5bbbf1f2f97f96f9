import type { TestRuntime } from './runtime.ts';

/**
 * Waits for work that needs both real answers (a database's) and time: while it goes on, the clock moves a little at
 * a time, so that waits between attempts pass. Fails after about ten seconds.
 */
export async function drive<T>(runtime: TestRuntime, work: Promise<T>, stepMs = 1): Promise<T> {
  let settled = false;
  const watched = work.finally(() => {
    settled = true;
  });
  watched.catch(() => {});
  const patience = process.hrtime.bigint() + 10_000_000_000n;
  while (!settled) {
    if (process.hrtime.bigint() > patience)
      throw new Error('Gave up waiting: the work does not come to an end');
    await runtime.advance(stepMs);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return watched;
}
