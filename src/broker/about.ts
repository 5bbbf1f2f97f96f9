import type { About } from '../audit/event.ts';
import { HallpassError } from '../errors.ts';
import type { LeaseRow, RequestRow, ReviewRow, TaskRow } from '../store/rows.ts';

/** What an event about a lease is about. */
export function aboutLease(lease: LeaseRow): About {
  return { task: lease.taskId, lease: lease.id, grant: lease.grant, target: lease.target };
}

/** What an event about a task is about. */
export function aboutTask(task: TaskRow): About {
  return { task: task.id, grant: task.grant, ...marked(task.practice) };
}

/** What an event about a request is about. */
export function aboutRequest({ grant, ask }: RequestRow): About {
  return { grant, ...marked(ask.practice) };
}

/** What an event about a review is about. */
export function aboutReview({ taskId, grant, practice }: ReviewRow): About {
  return { task: taskId, grant, ...marked(practice) };
}

/** The mark of a rehearsal, on every event that is about one. */
export function marked(practice: boolean | undefined): Pick<About, 'practice'> {
  return practice === true ? { practice } : {};
}

/** An error for the process log without its message where that is not ours: a vendor's text may quote a secret. */
export function nameless(error: unknown): {
  readonly name: string;
  readonly code?: string;
  readonly stack?: string;
} {
  if (error instanceof HallpassError) {
    return { name: error.name, code: error.code, ...(error.cause ? { stack: frames(error.cause) } : {}) };
  }
  return { name: error instanceof Error ? error.name : typeof error, stack: frames(error) };
}

function frames(error: unknown): string {
  if (!(error instanceof Error)) return '';
  // The stack begins with the message, whose own lines may look like frames.
  const stack = error.stack ?? '';
  const begin = stack.indexOf(error.message);
  return (begin < 0 ? '' : stack.slice(begin + error.message.length))
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, 8)
    .join('\n');
}
