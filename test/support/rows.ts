import { newId, type Runtime } from '../../src/runtime.ts';
import type { KillRow, LeaseRow, RequestRow, ReviewRow, TaskRow } from '../../src/store/rows.ts';

/** A task as the broker would open it, for tests of the store. */
export function taskRow(runtime: Runtime, over: Partial<TaskRow> = {}): TaskRow {
  const now = runtime.now();
  return {
    id: newId(runtime),
    version: 1,
    state: 'open',
    grant: 'report',
    grantVersion: 'v1',
    taskGrantId: null,
    name: 'nightly',
    purpose: 'the nightly report',
    parameters: { region: 'eu' },
    issuer: 'ci',
    subject: 'repo:acme/etl',
    principal: {
      issuer: 'ci',
      subject: 'repo:acme/etl',
      claims: { repository_id: '42' },
      proof: { method: 'oidc', evidenceHash: 'hash', expiresAt: now + 60_000 },
    },
    tokenHash: 'none',
    sealedToken: null,
    publicKey: null,
    idempotencyKey: null,
    requestDigest: 'digest',
    openedAt: now,
    expiresAt: now + 3_600_000,
    heartbeatSeconds: null,
    heartbeatDueAt: null,
    endedAt: null,
    endReason: null,
    exitStatus: null,
    cnf: null,
    ticket: null,
    practice: false,
    ...over,
  };
}

export function leaseRow(runtime: Runtime, task: TaskRow, over: Partial<LeaseRow> = {}): LeaseRow {
  const now = runtime.now();
  const id = newId(runtime);
  return {
    id,
    taskId: task.id,
    version: 1,
    state: 'minting',
    credential: 'db',
    grant: task.grant,
    target: 'warehouse',
    provider: 'memory',
    name: `hp_test_${id}`,
    issuer: task.issuer,
    subject: task.subject,
    scope: { role: 'reader' },
    counted: false,
    createdAt: now,
    issuedAt: null,
    expiresAt: now + 900_000,
    capAt: now + 3_600_000,
    dueAt: now + 20_000,
    handle: null,
    sealed: null,
    endReason: null,
    endingSince: null,
    attempts: 0,
    lastError: null,
    endedAt: null,
    outcome: null,
    evidence: null,
    use: null,
    ...over,
  };
}

/** A kill as an operator would order it. */
export function killRow(runtime: Runtime, match: Partial<KillRow>): KillRow {
  return {
    issuer: null,
    subject: null,
    grant: null,
    target: null,
    task: null,
    ...match,
    id: newId(runtime),
    orderedAt: runtime.now(),
    orderedBy: { issuer: 'corp', subject: 'operator' },
    reason: 'stolen',
    tasks: 0,
    leases: 0,
    markedAt: null,
    liftedAt: null,
    liftedBy: null,
    liftReason: null,
    liftsAt: null,
  };
}

const PERSON = { issuer: 'ci', subject: 'repo:acme/etl', claims: { repository_id: '42' } };

/** A wish that waits, as a workload would have made it. */
export function requestRow(runtime: Runtime, over: Partial<RequestRow> = {}): RequestRow {
  const now = runtime.now();
  return {
    id: newId(runtime),
    version: 1,
    state: 'pending',
    digest: 'of what is asked',
    grant: 'report',
    issuer: PERSON.issuer,
    subject: PERSON.subject,
    ask: {
      task: 'nightly',
      purpose: null,
      parameters: {},
      grantVersion: 'v1',
      taskGrant: null,
      credentials: [],
    },
    requester: PERSON,
    approvals: [],
    createdAt: now,
    expiresAt: now + 3_600_000,
    reason: null,
    taskId: null,
    ...over,
  };
}

/** The review of a use of a break-glass grant, by the opener of the task. */
export function reviewRow(runtime: Runtime, task: TaskRow): ReviewRow {
  return {
    id: newId(runtime),
    version: 1,
    state: 'open',
    grant: task.grant,
    taskId: task.id,
    issuer: task.issuer,
    subject: task.subject,
    person: PERSON,
    people: ['ada'],
    practice: false,
    purpose: 'an incident',
    ticket: null,
    openedAt: task.openedAt,
    dueAt: task.expiresAt,
    closedAt: null,
    closedBy: null,
    finding: null,
  };
}
