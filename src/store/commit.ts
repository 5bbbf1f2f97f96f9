import { entryText } from '../audit/entry.ts';
import { type AuditEvent, EVENT_VERSION, type NewEvent } from '../audit/event.ts';
import { HallpassError } from '../errors.ts';
import { instant, instantOrNull } from '../instant.ts';
import {
  COMMIT_ATTEMPTS,
  COMMIT_GROUP_UNITS,
  COMMIT_QUEUE_FINISHING_UNITS,
  COMMIT_QUEUE_UNITS,
  COMMIT_WRITERS,
} from '../limits.ts';
import { err, ok, type Result } from '../result.ts';
import { newId, type Runtime } from '../runtime.ts';
import { COMMIT_PARTS, type CommitPart, commitStatement } from './commit.sql.ts';
import { type Database, type Statement, sqlState } from './database.ts';
import type { LeaseRow, RequestRow, ReviewRow, TaskGrantRow, TaskRow } from './rows.ts';

/**
 * What happens together or not at all: rows that begin, rows that change, and the events that say so
 * (invariant 4). Rows that change carry the version that the caller saw; the stored one goes up by one.
 */
export interface Unit {
  readonly events: readonly NewEvent[];
  readonly newTask?: TaskRow;
  readonly changedTask?: TaskRow;
  /** Of the task that the unit begins or changes. */
  readonly newLeases?: readonly LeaseRow[];
  readonly changedLeases?: readonly LeaseRow[];
  /** No two of them with the same id. */
  readonly evidence?: readonly EvidenceUse[];
  readonly quotas?: readonly QuotaUse[];
  readonly newTaskGrant?: TaskGrantRow;
  readonly newRequest?: RequestRow;
  readonly changedRequest?: RequestRow;
  readonly newReview?: ReviewRow;
  readonly changedReview?: ReviewRow;
}

/** One use of evidence that may be used once; `usedFor` lets a retry of the same request present it again. */
export interface EvidenceUse {
  readonly id: string;
  readonly usedFor: string;
  /** Milliseconds since the epoch. */
  readonly keepUntil: number;
}

/** What a unit adds to a counter, and the bounds that must hold with it. Null bounds nothing. */
export interface QuotaUse {
  readonly key: string;
  readonly live: number;
  readonly total: number;
  readonly issued: number;
  readonly maxLive: number | null;
  readonly maxTotal: number | null;
  readonly maxIssuedAnHour: number | null;
}

/**
 * Why a unit changed nothing: a row that it changes is not at the version it saw (`version`); its evidence was used
 * for another request (`replayed`); its idempotency key has a task (`repeated`); a counter would pass its bound, or
 * is not there (`limit`); a kill keeps out what it would begin or keep alive (`blocked`).
 */
export type Conflict = 'version' | 'replayed' | 'repeated' | 'limit' | 'blocked';

export interface Committer {
  /**
   * Makes a unit durable. Resolves when its group is committed. Units that touch the same row are written in the order
   * of the calls within this process; of others a later one may be durable first.
   * Throws `overloaded` when too many wait and `not-ready` when this process's clock is wrong (nothing was written), `store-unavailable` when the database does not
   * answer (it may have been written: whoever looks next sees), and the database's own error when it cannot take
   * this unit; its neighbours are then written without it. What changes rows still finds room when there is none
   * for what begins something, so that load never keeps the broker from ending what it made.
   */
  commit(unit: Unit): Promise<Result<void, Conflict>>;
  /** Units that wait or are being written. */
  readonly pending: number;
}

interface Waiting {
  readonly unit: Unit;
  readonly keys: readonly string[];
  readonly resolve: (result: Result<void, Conflict>) => void;
  readonly reject: (error: unknown) => void;
}

/** SQLSTATEs of transactions that collided with another replica's: serialization, deadlock, unique key. */
const COLLISIONS: ReadonlySet<string> = new Set(['40001', '40P01', '23505']);

/**
 * The group commit: units that arrive while groups are being written form the next, and a group is one statement.
 * So there is one place for durability, and the more load, the fewer flushes for each unit.
 */
export function createCommitter(
  database: Database,
  runtime: Runtime,
  clockFault: () => Promise<string | null> = async () => null,
): Committer {
  let queue: Waiting[] = [];
  let writers = 0;
  let writing = 0;
  /** What each of the groups that are being written touches. */
  let inHand: readonly (readonly string[])[] = [];

  function commit(unit: Unit): Promise<Result<void, Conflict>> {
    if (queue.length >= (finishes(unit) ? COMMIT_QUEUE_FINISHING_UNITS : COMMIT_QUEUE_UNITS)) {
      return Promise.reject(
        new HallpassError('overloaded', 'Cannot commit: too many changes wait for the store'),
      );
    }
    return new Promise((resolve, reject) => {
      queue.push({ unit, keys: keysOf(unit), resolve, reject });
      if (writers < COMMIT_WRITERS) {
        writers++;
        // The rest of this turn of the event loop joins the group.
        queueMicrotask(() => void writeGroups());
      }
    });
  }

  /** Writes what waits, group after group, until nothing waits but what another writer has in hand. */
  async function writeGroups(): Promise<void> {
    for (;;) {
      const { group, rest } = takeGroup(queue, new Set(inHand.flat()));
      if (group.length === 0) break;
      queue = rest;
      writing += group.length;
      const keys = group.flatMap((waiting) => waiting.keys);
      inHand = [...inHand, keys];
      const failure = await write(group);
      if (failure !== null) await writeOneByOne(group, failure);
      inHand = inHand.filter((other) => other !== keys);
      writing -= group.length;
    }
    writers--;
  }

  /** Writes a group and answers its units, or answers why none of them could be written. */
  async function write(group: readonly Waiting[]): Promise<{ readonly error: unknown } | null> {
    try {
      // Instants that a wrong clock has told must not become anybody's deadline: the last look, just before they are sent.
      const fault = await clockFault();
      if (fault !== null) throw new HallpassError('not-ready', `Cannot commit: ${fault}`);
      const conflicts = await writeGroup(database, runtime, group);
      for (const [index, waiting] of group.entries()) {
        const conflict = conflicts.get(index);
        waiting.resolve(conflict ? err(conflict) : ok(undefined));
      }
      return null;
    } catch (error) {
      return { error };
    }
  }

  /** After a group that failed: a unit that the database cannot take fails alone. A database that is away fails them all. */
  async function writeOneByOne(
    group: readonly Waiting[],
    failure: { readonly error: unknown },
  ): Promise<void> {
    let { error } = failure;
    for (const waiting of group) {
      if (group.length > 1 && !isAway(error)) {
        const failed = await write([waiting]);
        if (failed === null) continue;
        error = failed.error;
      }
      waiting.reject(error);
    }
  }

  return {
    commit,
    get pending() {
      return queue.length + writing;
    },
  };
}

/** Whether a unit only takes further what has begun. */
function finishes(unit: Unit): boolean {
  const begins = unit.newTask !== undefined || unit.newLeases !== undefined;
  return !begins && (unit.changedTask !== undefined || unit.changedLeases !== undefined);
}

function isAway(error: unknown): boolean {
  return error instanceof HallpassError && (error.code === 'store-unavailable' || error.code === 'not-ready');
}

/** What no two units of one group may both touch: the statement sees each row once. */
function keysOf(unit: Unit): readonly string[] {
  const keys = (unit.changedLeases ?? []).map((lease) => lease.id);
  if (unit.changedTask) keys.push(unit.changedTask.id);
  if (unit.newTask?.idempotencyKey) keys.push(unit.newTask.idempotencyKey);
  for (const { id } of unit.evidence ?? []) keys.push(id);
  if (unit.newRequest) keys.push(unit.newRequest.digest);
  if (unit.changedRequest) keys.push(unit.changedRequest.id);
  if (unit.changedReview) keys.push(unit.changedReview.id);
  return keys;
}

/** The longest run of waiting units that touch different rows, and none that is touched already; the others keep their order. */
function takeGroup(queue: readonly Waiting[], touched: Set<string>): { group: Waiting[]; rest: Waiting[] } {
  const group: Waiting[] = [];
  const rest: Waiting[] = [];
  for (const waiting of queue) {
    const fits = group.length < COMMIT_GROUP_UNITS && !waiting.keys.some((key) => touched.has(key));
    for (const key of waiting.keys) touched.add(key);
    (fits ? group : rest).push(waiting);
  }
  return { group, rest };
}

async function writeGroup(
  database: Database,
  runtime: Runtime,
  group: readonly Waiting[],
): Promise<ReadonlyMap<number, Conflict>> {
  const { statement, parameters } = statementOf(runtime, group);
  for (let attempt = 1; ; attempt++) {
    try {
      const rows = await database.query<{ unit: number; conflict: Conflict }>(statement, parameters);
      return new Map(rows.map((row) => [row.unit, row.conflict]));
    } catch (error) {
      // The whole statement was rolled back, so it can be sent again; now it sees what it collided with.
      const state = sqlState(error);
      if (state === null || !COLLISIONS.has(state)) throw error;
      if (attempt === COMMIT_ATTEMPTS) {
        throw new HallpassError(
          'store-conflict',
          'Cannot commit: other replicas changed the same rows every time',
          {
            cause: error,
          },
        );
      }
      await runtime.sleep(attempt * (1 + ((runtime.randomBytes(1)[0] ?? 0) % 8)));
    }
  }
}

/** The statement for the parts that a group has, and what it takes. */
function statementOf(
  runtime: Runtime,
  group: readonly Waiting[],
): { readonly statement: Statement; readonly parameters: readonly string[] } {
  const at = instant(runtime.now());
  const rows: Readonly<Record<CommitPart, unknown[]>> = {
    evidence: [],
    newTasks: [],
    changedTasks: [],
    changedLeases: [],
    newLeases: [],
    newRequests: [],
    changedRequests: [],
    newReviews: [],
    changedReviews: [],
    quotas: [],
    taskGrants: [],
    events: [],
  };
  for (const [unit, { unit: content }] of group.entries()) {
    for (const use of content.evidence ?? [])
      rows.evidence.push({ unit, ...use, keepUntil: instant(use.keepUntil) });
    if (content.newTask) rows.newTasks.push(taskRecord(unit, content.newTask));
    if (content.changedTask) rows.changedTasks.push(taskChange(unit, content.changedTask));
    const actors = actorsOf(content.newTask ?? content.changedTask);
    for (const lease of content.newLeases ?? []) rows.newLeases.push({ ...leaseRecord(unit, lease), actors });
    for (const lease of content.changedLeases ?? []) rows.changedLeases.push(leaseChange(unit, lease));
    for (const use of content.quotas ?? []) rows.quotas.push({ unit, ...use });
    if (content.newTaskGrant) rows.taskGrants.push(taskGrantRecord(unit, content.newTaskGrant));
    if (content.newRequest) rows.newRequests.push(requestRecord(unit, content.newRequest));
    if (content.changedRequest) rows.changedRequests.push(requestRecord(unit, content.changedRequest));
    if (content.newReview) rows.newReviews.push(reviewRecord(unit, content.newReview));
    if (content.changedReview) rows.changedReviews.push(reviewRecord(unit, content.changedReview));
    for (const event of content.events)
      rows.events.push(eventRecord(unit, { v: EVENT_VERSION, id: newId(runtime), at, ...event }));
  }
  const parts = COMMIT_PARTS.filter((part) => rows[part].length > 0);
  return {
    statement: commitStatement(parts),
    parameters: [at, ...parts.map((part) => JSON.stringify(rows[part]))],
  };
}

function taskRecord(unit: number, task: TaskRow): unknown {
  return {
    unit,
    ...task,
    openedAt: instant(task.openedAt),
    expiresAt: instant(task.expiresAt),
    heartbeatDueAt: instantOrNull(task.heartbeatDueAt),
    endedAt: instantOrNull(task.endedAt),
  };
}

/** What can change in a task: the rest stays at home. */
function taskChange(unit: number, task: TaskRow): unknown {
  const { id, version, state, endReason, exitStatus } = task;
  return {
    unit,
    id,
    version,
    state,
    expiresAt: instant(task.expiresAt),
    heartbeatDueAt: instantOrNull(task.heartbeatDueAt),
    endedAt: instantOrNull(task.endedAt),
    endReason,
    exitStatus,
  };
}

/** Who acts for the subject of a task: what a block keeps out, it keeps out of what begins for others too. */
function actorsOf(task: TaskRow | undefined): unknown {
  return task?.principal.actors?.map(({ issuer, subject }) => ({ issuer, subject }));
}

function leaseRecord(unit: number, lease: LeaseRow): object {
  return {
    unit,
    ...lease,
    createdAt: instant(lease.createdAt),
    issuedAt: instantOrNull(lease.issuedAt),
    expiresAt: instant(lease.expiresAt),
    capAt: instant(lease.capAt),
    dueAt: instantOrNull(lease.dueAt),
    endingSince: instantOrNull(lease.endingSince),
    endedAt: instantOrNull(lease.endedAt),
  };
}

/** What can change in a lease. */
function leaseChange(unit: number, lease: LeaseRow): unknown {
  const { id, version, state, handle, sealed, endReason, attempts, lastError, outcome, evidence, use } =
    lease;
  return {
    unit,
    id,
    version,
    state,
    issuedAt: instantOrNull(lease.issuedAt),
    expiresAt: instant(lease.expiresAt),
    dueAt: instantOrNull(lease.dueAt),
    handle,
    sealed,
    endReason,
    endingSince: instantOrNull(lease.endingSince),
    attempts,
    lastError,
    endedAt: instantOrNull(lease.endedAt),
    outcome,
    evidence,
    use,
  };
}

function taskGrantRecord(unit: number, grant: TaskGrantRow): unknown {
  return { unit, ...grant, createdAt: instant(grant.createdAt), expiresAt: instant(grant.expiresAt) };
}

function requestRecord(unit: number, request: RequestRow): unknown {
  return { unit, ...request, createdAt: instant(request.createdAt), expiresAt: instant(request.expiresAt) };
}

function reviewRecord(unit: number, review: ReviewRow): unknown {
  return {
    unit,
    ...review,
    openedAt: instant(review.openedAt),
    dueAt: instantOrNull(review.dueAt),
    closedAt: instantOrNull(review.closedAt),
  };
}

/** An event as the statements that log it take it. */
export function eventRecord(unit: number, event: AuditEvent): unknown {
  return {
    unit,
    id: event.id,
    at: event.at,
    kind: event.kind,
    taskId: event.about.task ?? null,
    leaseId: event.about.lease ?? null,
    grant: event.about.grant ?? null,
    target: event.about.target ?? null,
    issuer: event.actor.kind === 'principal' ? event.actor.issuer : null,
    subject: event.actor.kind === 'principal' ? event.actor.subject : null,
    outcome: event.kind === 'lease.ended' ? event.data.outcome : null,
    body: entryText(event),
  };
}
