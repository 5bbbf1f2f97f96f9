import type { KeepEvent } from '../../client/keep.ts';
import type { Io } from '../io.ts';
import { say, when } from '../output.ts';

/** Says to the person what becomes of the credentials while the command runs. What goes well is not worth a line. */
export function tellKeeping(io: Io, event: KeepEvent): void {
  switch (event.kind) {
    case 'beat-missed':
      say(
        io,
        `The broker misses a heartbeat; unless it gets one within ${event.graceSeconds} s of the last, the credentials end. Trying on. ${reasonOf(event.error)}`,
      );
      break;
    case 'beat-answered':
      say(io, 'The broker answers again');
      break;
    case 'task-ended':
      say(
        io,
        `The broker has ended the task, and its credentials with it: ${event.problem.message} (${event.problem.code})`,
      );
      break;
    case 'renewal-late':
      say(
        io,
        `Cannot renew the credential "${event.credential.name}" yet: it lives until ${at(event.expiresAt)}. Trying on. ${reasonOf(event.error)}`,
      );
      break;
    case 'unrenewable':
      say(
        io,
        `The credential "${event.credential.name}" ends at ${at(event.expiresAt)} and cannot be renewed: ${event.problem.message} (${event.problem.code})`,
      );
      break;
    case 'expired':
      say(io, `The credential "${event.credential.name}" has expired`);
      break;
    case 'renewed':
    case 'replaced':
      break;
    default:
      event satisfies never;
  }
}

function at(instant: number): string | null {
  return when(new Date(instant).toISOString());
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
