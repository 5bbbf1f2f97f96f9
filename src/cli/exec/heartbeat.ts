import { HallpassProblem } from '../../client/problem.ts';
import type { TaskHandle } from '../../client/task.ts';
import type { Io } from '../io.ts';
import { say } from '../output.ts';

/** A beat that was not answered is tried again sooner than the next would come. Milliseconds. */
const RETRY_MS = 2_000;

/**
 * Says at a third of the grace that the task is running, until the signal aborts. A broker that is away is tried
 * again and again; the person hears of it once, and once more when it is back.
 */
export async function keepBeating(io: Io, task: TaskHandle, signal: AbortSignal): Promise<void> {
  const seconds = task.task.heartbeat_seconds;
  if (seconds === null) return;
  const intervalMs = (seconds * 1000) / 3;
  let away = false;
  let waitMs = intervalMs;
  while (await slept(io, waitMs, signal)) {
    try {
      // A beat that hangs must not cost the next one.
      await task.heartbeat(AbortSignal.any([signal, AbortSignal.timeout(intervalMs)]));
      if (away) say(io, 'The broker answers again');
      away = false;
      waitMs = intervalMs;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof HallpassProblem && isFinal(error)) {
        say(
          io,
          `The broker has ended the task, and its credentials with it: ${error.message} (${error.code})`,
        );
        return;
      }
      if (!away) {
        const reason = error instanceof Error ? error.message : String(error);
        say(
          io,
          `The broker misses a heartbeat; unless it gets one within ${seconds} s of the last, the credentials end. Trying on. ${reason}`,
        );
      }
      away = true;
      waitMs = Math.min(RETRY_MS, intervalMs);
    }
  }
}

function isFinal({ code }: HallpassProblem): boolean {
  return (
    code === 'task-ended' || code === 'not-found' || code === 'unauthenticated' || code === 'not-allowed'
  );
}

async function slept(io: Io, ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await io.runtime.sleep(ms, signal);
    return true;
  } catch {
    return false;
  }
}
