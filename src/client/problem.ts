import type { Problem, ProblemCode } from '../http/contract.ts';

/** The broker answered, and the answer is a problem. Branch on `code`. */
export class HallpassProblem extends Error {
  /** `unexpected-answer`: something between us and the broker answered in its place. */
  readonly code: ProblemCode | 'unexpected-answer';
  readonly status: number;
  readonly detail: string | undefined;
  readonly faults: Problem['faults'];
  /** When the broker may be asked again, in seconds from now. */
  readonly retryAfterSeconds: number | undefined;
  /** Names the request in the broker's log. */
  readonly requestId: string | undefined;

  constructor(problem: Omit<Problem, 'code' | 'type'> & { readonly code: HallpassProblem['code'] }) {
    const faults = problem.faults?.map(({ path, message }) => `${path}: ${message}`).join('; ');
    super(faults ?? problem.detail ?? problem.title);
    this.name = 'HallpassProblem';
    this.code = problem.code;
    this.status = problem.status;
    this.detail = problem.detail;
    this.faults = problem.faults;
    this.retryAfterSeconds = problem.retry_after_seconds;
    this.requestId = problem.request_id;
  }
}

/** Nobody answered: whether the request took effect is unknown. */
export class HallpassUnreachable extends Error {
  constructor(url: string, cause: unknown) {
    super(`Cannot reach the broker at ${url}: ${reasonOf(cause)}`, { cause });
    this.name = 'HallpassUnreachable';
  }
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'no answer';
  // Fetch says "fetch failed" and keeps the reason below it.
  const inner = cause.cause instanceof Error ? cause.cause : cause;
  return inner.message || inner.name;
}
