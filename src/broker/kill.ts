import { ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import {
  finishKill,
  lapsedBlocks,
  markKill,
  orderKill,
  readKill as readKillRow,
  restOfKill,
  standingBlocks,
  unmarkedKills,
  liftBlock as writeLift,
} from '../store/kills.ts';
import type { KillRow } from '../store/rows.ts';
import { authorize } from './authorize.ts';
import { actorOf, type Broker } from './broker.ts';
import { evidenceOf } from './intend.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { Caller, KillAsk, KillProgress } from './verbs.ts';

/**
 * Ends all that one identity, grant, target or task holds, and keeps it out until the block is lifted. Two commits
 * make it so. The order is the first: whatever begins after it is refused, and whatever was begun before it is there
 * to be seen. Then everything that matches is made due; the reaper takes it from there. Whoever dies in between is
 * followed by the housekeeping of any broker, which finds a kill that was not carried out.
 */
export async function kill(
  broker: Broker,
  caller: Caller,
  ask: KillAsk,
): Promise<Result<KillProgress, Refusal>> {
  const no = (refusal: Refusal) => refuse(broker, caller, {}, 'kill', refusal);
  const operator = operatorOf(caller);
  if (operator === null) return no(NOT_AN_OPERATOR);
  const fault = faultOf(ask);
  if (fault !== null) return no({ reason: 'invalid-request', detail: fault });
  const { runtime, database } = broker;
  const now = runtime.now();
  const { reason, issuer, subject, grant, target, task } = ask;
  const row: KillRow = {
    id: newId(runtime),
    orderedAt: now,
    orderedBy: operator,
    reason,
    issuer,
    subject,
    grant,
    target,
    task,
    tasks: 0,
    leases: 0,
    markedAt: null,
    liftedAt: null,
    liftedBy: null,
    liftReason: null,
    liftsAt: ask.blockSeconds === undefined ? null : now + ask.blockSeconds * 1000,
  };
  const ordered = await orderKill(database, runtime, row, evidenceOf(caller, row.id).evidence ?? [], {
    kind: 'kill.ordered',
    actor: actorOf(caller),
    about: aboutKill(row),
    data: { id: row.id, reason, match: { issuer, subject, grant, target, task } },
  });
  if (ordered === 'replayed') return no(REPLAYED);
  if (ordered === 'full') {
    const detail = 'Too many blocks stand: lift some';
    return no({ reason: 'limit-reached', detail, retryAfterMs: 10_000 });
  }
  return ok(await progressOf(broker, (await carryOut(broker, row)) ?? row));
}

/** Durable before: the order. Dying in here leaves a kill that is not marked, for `finishKills` of whoever lives. */
async function carryOut(broker: Broker, row: KillRow): Promise<KillRow | null> {
  const { database, runtime } = broker;
  await markKill(database, row, runtime.now());
  broker.wakeReaper();
  return finishKill(database, runtime, row.id, runtime.now(), ({ id, tasks, leases }) => ({
    kind: 'kill.marked',
    actor: { kind: 'system' },
    about: aboutKill(row),
    data: { id, tasks, leases },
  }));
}

/** Carries out kills that were ordered by somebody who did not live to. */
export async function finishKills(broker: Broker): Promise<void> {
  for (const row of await unmarkedKills(broker.database)) await carryOut(broker, row);
}

/** Lifts the blocks that were to stand until now. */
export async function liftLapsed({ database, runtime }: Broker): Promise<void> {
  const at = runtime.now();
  for (const row of await lapsedBlocks(database, at)) {
    // It was his order that it be lifted now.
    const lift = { at, by: row.orderedBy, reason: TIME_IS_UP };
    await writeLift(database, runtime, row.id, lift, {
      kind: 'block.lifted',
      actor: { kind: 'system' },
      about: aboutKill(row),
      data: { id: row.id, reason: TIME_IS_UP },
    });
  }
}

const TIME_IS_UP = 'its time is up';

/** A kill and what is left of it, target by target. */
export async function readKill(
  broker: Broker,
  caller: Caller,
  id: string,
): Promise<Result<KillProgress, Refusal>> {
  const permission = await authorize(broker, caller, ['operator', 'auditor'], 'kill', { id });
  if (!permission.ok) return permission;
  const row = await readKillRow(broker.database, id);
  if (row === null) return refuse(broker, caller, {}, 'read-kill', NO_SUCH_KILL);
  return ok(await progressOf(broker, row));
}

/** The blocks that stand. */
export async function listBlocks(
  broker: Broker,
  caller: Caller,
): Promise<Result<readonly KillRow[], Refusal>> {
  const permission = await authorize(broker, caller, ['operator', 'auditor'], 'blocks', {});
  return permission.ok ? ok(await standingBlocks(broker.database)) : permission;
}

/** Lets in again what a kill keeps out. What it ended stays ended. */
export async function liftBlock(
  broker: Broker,
  caller: Caller,
  id: string,
  reason: string,
): Promise<Result<KillRow, Refusal>> {
  const no = (refusal: Refusal) => refuse(broker, caller, {}, 'lift-block', refusal);
  const operator = operatorOf(caller);
  if (operator === null) return no(NOT_AN_OPERATOR);
  const { database, runtime } = broker;
  const row = await readKillRow(database, id);
  if (row === null) return no(NO_SUCH_KILL);
  if (row.liftedAt !== null) return ok(row);
  const used = await broker.committer.commit({ ...evidenceOf(caller, newId(runtime)), events: [] });
  if (!used.ok) return no(REPLAYED);
  const lift = { at: runtime.now(), by: operator, reason };
  await writeLift(database, runtime, id, lift, {
    kind: 'block.lifted',
    actor: actorOf(caller),
    about: aboutKill(row),
    data: { id, reason },
  });
  const after = await readKillRow(database, id);
  if (after !== null && after.liftedAt !== null) return ok(after);
  const detail = 'The kill is still being carried out';
  return no({ reason: 'in-progress', detail, retryAfterMs: 1_000 });
}

const NOT_AN_OPERATOR: Refusal = { reason: 'not-allowed', detail: 'It takes the role operator' };
const NO_SUCH_KILL: Refusal = { reason: 'not-found', detail: 'There is no such kill' };
const REPLAYED: Refusal = {
  reason: 'unauthenticated',
  detail: 'replayed: the evidence may be used once, and was used before',
};

function operatorOf(caller: Caller): { readonly issuer: string; readonly subject: string } | null {
  if (caller.kind !== 'principal' || !caller.roles.has('operator')) return null;
  return { issuer: caller.principal.issuer, subject: caller.principal.subject };
}

/** What is wrong with an order, or null. */
function faultOf({ all, issuer, subject, grant, target, task }: KillAsk): string | null {
  const named = [issuer, subject, grant, target, task].some((member) => member !== null);
  if (all && named) return 'Cannot kill all and something: leave out the one or the other';
  if (!all && !named)
    return 'Cannot tell what to kill: name an issuer, subject, grant, target or task, or all';
  if (subject !== null && issuer === null) return 'Cannot tell whose subject it is: name its issuer too';
  return null;
}

function aboutKill({ grant, target, task }: KillRow) {
  return {
    ...(grant === null ? {} : { grant }),
    ...(target === null ? {} : { target }),
    ...(task === null ? {} : { task }),
  };
}

async function progressOf(broker: Broker, row: KillRow): Promise<KillProgress> {
  const rest = await restOfKill(broker.database, row);
  return {
    kill: row,
    rest: rest.map((at) => ({
      ...at,
      expiryOnly: broker.targets.get(at.target)?.target.ends === 'expiry-only',
    })),
  };
}
