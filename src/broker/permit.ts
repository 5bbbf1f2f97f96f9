import { isSensitive, redactClaim } from '../audit/redact.ts';
import { readCut } from '../grants/cut.ts';
import { decide } from '../grants/decide.ts';
import type { Ask, Cut, Decision, PolicyRefusal } from '../grants/grant.ts';
import type { Principal } from '../identity/attestor.ts';
import { err, ok, type Result } from '../result.ts';
import type { Conflict } from '../store/commit.ts';
import type { TaskGrantRow, TaskRow } from '../store/rows.ts';
import { readTaskGrant } from '../store/task-grants.ts';
import { type Broker, principalOf } from './broker.ts';
import { BLOCKED, type Refusal } from './refusal.ts';
import type { Caller, OpenTask } from './verbs.ts';

/** Whether nothing more is done for a task. */
export function hasEnded(task: TaskRow, now: number): boolean {
  return (
    task.state === 'ended' ||
    // A kill made it due.
    task.endReason !== null ||
    task.expiresAt <= now ||
    (task.heartbeatDueAt ?? Number.POSITIVE_INFINITY) <= now
  );
}

/** What a task asked for when it was opened, to be decided again. */
export function askOf(task: TaskRow) {
  return {
    grant: task.grant,
    task: task.name,
    purpose: task.purpose,
    ...(task.ticket === null ? {} : { ticket: task.ticket }),
    parameters: task.parameters,
    taskGrant: task.taskGrantId,
    credentials: null,
    ttlSeconds: null,
  };
}

/** Policy's answer to an ask, at this moment. Every way into minting and renewing goes through here. */
export async function permit(
  broker: Broker,
  caller: Caller,
  ask: Pick<
    OpenTask,
    'grant' | 'task' | 'purpose' | 'ticket' | 'parameters' | 'credentials' | 'ttlSeconds' | 'taskGrant'
  >,
  now: number,
): Promise<Result<{ decision: Decision; taskGrant: TaskGrantRow | null }, Refusal>> {
  const denied = (detail: string) => err({ reason: 'not-allowed' as const, detail });
  const fault = exceptionFault(principalOf(caller), now);
  if (fault !== null) return denied(fault);
  const grant = broker.grants.get(ask.grant);
  if (grant === undefined) return denied(`grant: there is no grant "${ask.grant}"`);
  let taskGrant: TaskGrantRow | null = null;
  let cut: Cut | null = null;
  if (ask.taskGrant !== null) {
    taskGrant = await readTaskGrant(broker.database, ask.taskGrant);
    if (taskGrant === null || taskGrant.grant !== grant.name)
      return denied('task-grant: there is none for this grant');
    if (taskGrant.expiresAt <= now) return denied('task-grant: it has expired');
    cut = readCut(taskGrant.cut);
    if (cut === null) return denied('task-grant: its cut cannot be read');
  }
  const wish: Ask = {
    principal: principalOf(caller),
    task: ask.task,
    purpose: ask.purpose,
    ticket: ask.ticket ?? null,
    parameters: ask.parameters,
    credentials: ask.credentials,
    ttlSeconds: ask.ttlSeconds,
    now,
  };
  const decision = decide(grant, cut, wish);
  if (!decision.ok) return denied(detailOf(decision.error, broker.sensitiveClaims));
  return ok({ decision: decision.value, taskGrant });
}

/**
 * An exception that has come to its end vouches for nobody any more, neither for whoever opened a task nor for those who
 * act for him: what was opened before lives on as it is, and gets no more time and no more credentials.
 */
function exceptionFault({ issuer, proof, actors = [] }: Principal, now: number): string | null {
  const ended = [{ issuer, proof }, ...actors].find(
    (one) => (one.proof?.exceptionEndsAt ?? Number.POSITIVE_INFINITY) <= now,
  );
  return ended === undefined ? null : `principal: the exception that "${ended.issuer}" is has ended`;
}

/** Why policy said no, without the value of a claim that the log keeps as a hash. */
function detailOf(
  { reason, detail, claim }: PolicyRefusal,
  sensitive: ReadonlySet<string> = new Set(),
): string {
  if (claim === undefined || !isSensitive(claim.name, sensitive)) return `${reason}: ${detail}`;
  const found = claim.value === null ? 'nothing' : `sha256 ${redactClaim(claim.name, claim.value).sha256}`;
  return `${reason}: claims.${claim.name}: expected another, found ${found}`;
}

/** Why an intent was not committed. */
export function conflictRefusal(conflict: Conflict): Refusal {
  switch (conflict) {
    case 'blocked':
      return BLOCKED;
    case 'limit':
      return { reason: 'limit-reached', detail: 'A limit of the grant is reached', retryAfterMs: 10_000 };
    case 'replayed':
      return {
        reason: 'unauthenticated',
        detail: 'replayed: the evidence may be used once, and was used before',
      };
    case 'version':
      return { reason: 'in-progress', detail: 'The task was changed at the same time', retryAfterMs: 1_000 };
    case 'repeated':
      return { reason: 'in-progress', detail: 'The same request is being served', retryAfterMs: 1_000 };
  }
}
