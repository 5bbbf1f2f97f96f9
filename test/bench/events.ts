import type { NewEvent } from '../../src/audit/event.ts';
import { aboutTask } from '../../src/broker/about.ts';
import type { TaskRow } from '../../src/store/rows.ts';

/** What the log says of a task that begins, as the broker writes it. */
export function opened(task: TaskRow): NewEvent {
  const { name, purpose, parameters, grantVersion, principal, requestDigest: request } = task;
  const { method, evidenceHash: evidence } = principal.proof;
  const { claims } = principal;
  return {
    kind: 'task.opened',
    actor: holder(task),
    about: aboutTask(task),
    data: {
      name,
      purpose,
      parameters,
      grantVersion,
      taskGrant: null,
      claims,
      proof: { method, evidence },
      request,
    },
  };
}

/** Whoever opened the task, as an actor. */
export function holder({ issuer, subject }: TaskRow) {
  return { kind: 'principal', issuer, subject } as const;
}
