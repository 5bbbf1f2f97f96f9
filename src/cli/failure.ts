import { HallpassProblem, HallpassUnreachable } from '../client/problem.ts';
import { EXIT } from './exit-codes.ts';
import type { Io } from './io.ts';
import { say } from './output.ts';

/** What the person can correct: the message says how. */
export class UsageError extends Error {}

/** Says why a command failed, and gives its exit code. */
export function reportFailure(io: Io, error: unknown): number {
  if (error instanceof HallpassProblem) {
    const request = error.requestId ? ` (${error.code}, request ${error.requestId})` : ` (${error.code})`;
    say(io, `${error.message}${request}`);
    return problemExit(error.code);
  }
  if (error instanceof HallpassUnreachable) {
    say(io, error.message);
    return EXIT.unreachable;
  }
  if (error instanceof UsageError) {
    say(io, error.message);
    return EXIT.usage;
  }
  say(io, error instanceof Error ? error.message : String(error));
  return EXIT.failed;
}

function problemExit(code: HallpassProblem['code']): number {
  switch (code) {
    case 'unauthenticated':
    case 'invalid-proof':
    case 'use-nonce':
      return EXIT.unauthenticated;
    case 'not-allowed':
    case 'review-overdue':
    case 'fallback-closed':
      return EXIT.notAllowed;
    case 'not-found':
      return EXIT.notFound;
    case 'invalid-request':
    case 'too-large':
    case 'unsupported-media-type':
    case 'idempotency-key-reused':
      return EXIT.usage;
    case 'conflict':
    case 'already-delivered':
    case 'task-ended':
    case 'lease-ended':
    case 'cannot-renew':
      return EXIT.conflict;
    case 'in-progress':
    case 'too-early':
    case 'limit-reached':
    case 'rate-limited':
    case 'overloaded':
    case 'not-ready':
    case 'target-unavailable':
    case 'store-unavailable':
      return EXIT.tryLater;
    case 'mint-failed':
    case 'internal':
    case 'unexpected-answer':
      return EXIT.failed;
    default:
      return code satisfies never;
  }
}
