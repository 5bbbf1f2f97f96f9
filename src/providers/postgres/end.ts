import type pg from 'pg';
import { ProviderError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import { lapsesElsewhere } from '../elsewhere.ts';
import type { Ended, Ending, Sighting } from '../provider.ts';
import type { Connections } from './connections.ts';
import {
  COLLISIONS,
  DEPENDENT_OBJECTS,
  INSUFFICIENT_PRIVILEGE,
  UNDEFINED_OBJECT,
  vendorCode,
} from './errors.ts';
import { addressOf, type EndPlan, endPlan } from './handle.ts';
import { MAX_DROPS, MAX_SEEN, MAX_WAITS } from './limits.ts';
import {
  inFlightStatement,
  leftOf,
  leftStatement,
  lookStatement,
  NOTHING,
  type Sight,
  sightOf,
} from './look.ts';
import { disown, grantToOurselves, rollBackPrepared } from './remains.ts';
import type { PostgresSettings } from './settings.ts';
import { identifier } from './sql.ts';
import { pause } from './waiting.ts';

export const DOING = 'end a login';

/** What ending a login needs. */
export interface EndContext {
  readonly runtime: Runtime;
  readonly settings: PostgresSettings;
  readonly connections: Connections;
}

/** One call of `end`. */
export interface Call extends EndContext {
  readonly role: string;
  readonly name: string;
  readonly plan: EndPlan;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** The role's oid: its handle's, or without one that of the first look that found it. */
  oid: string | null;
  readonly signal: AbortSignal;
  /** Whether a mint can still be on its way to the target. */
  readonly mintUnanswered: boolean;
  /** What was found and done, for the evidence; it grows over all attempts of the call. */
  readonly deeds: {
    found: boolean;
    readonly sessions: Set<number>;
    /** What was open when we came, and what came in between, by process. */
    readonly seen: Map<number, Sighting>;
    readonly prepared: Set<string>;
    /** How often `DROP OWNED` ran, by database. */
    readonly disowned: Map<string, number>;
  };
}

/** A call that has found and done nothing yet. Throws RangeError for a name that no role can have. */
export function callOf(context: EndContext, ending: Ending, signal: AbortSignal): Call {
  const plan = endPlan(ending.handle, context.settings);
  return {
    ...context,
    signal,
    plan,
    expiresAt: ending.expiresAt,
    role: identifier(ending.name),
    name: ending.name,
    oid: plan.oid,
    mintUnanswered: plan.oid === null,
    deeds: { found: false, sessions: new Set(), seen: new Map(), prepared: new Set(), disowned: new Map() },
  };
}

/**
 * Ends a login: bars it, cuts its sessions, removes what it owns and holds in every database, and drops it. Each step
 * is a transaction of its own, so that access is gone as early as can be and a step that fails undoes none before.
 * Two processes may end one login at once: whoever finds it changed under him begins again.
 */
export async function end(call: Call): Promise<Ended> {
  for (let collisions = 0; ; collisions++) {
    try {
      await endOnce(call);
      return ended(call);
    } catch (error) {
      if (collisions >= (COLLISIONS[vendorCode(error) ?? ''] ?? 0)) throw error;
      await pause(call.runtime, collisions, DOING, call.signal);
    }
  }
}

async function endOnce(call: Call): Promise<void> {
  let sight = await bar(call);
  if (isGone(sight) && call.mintUnanswered && !call.deeds.found) {
    await outwaitMint(call);
    sight = await bar(call);
  }
  for (let drops = 0; !isGone(sight); drops++) {
    if (drops === MAX_DROPS) {
      throw new ProviderError(
        'target-refused',
        `Cannot ${DOING}: something is granted to it again and again`,
      );
    }
    call.deeds.found = true;
    sight = await cutSessions(call, sight);
    await rollBackPrepared(call.connections, call.role, sight, call.signal);
    for (const { gid } of sight.prepared) call.deeds.prepared.add(gid);
    await disown(call, sight, call.deeds.disowned);
    sight = await drop(call);
  }
}

function note({ deeds }: Call, seen: Sight['seen']): void {
  for (const { pid, address, application, since } of seen)
    if (deeds.seen.size < MAX_SEEN) deeds.seen.set(pid, { address, application, since });
}

function isGone(sight: Sight): boolean {
  return sight.oid === null && sight.sessions.length === 0;
}

/** Nobody can log in as it from now on. Looks after that is committed, in the same round trip. */
function bar(call: Call): Promise<Sight> {
  // It need not be on disk: if the server crashes, the sessions are gone with it, and we have not yet answered.
  const sql = `BEGIN; SET LOCAL synchronous_commit TO off; ALTER ROLE ${call.role} NOLOGIN; COMMIT`;
  return orLook(call, UNDEFINED_OBJECT, (client) => look(call, client, sql));
}

/** Drops it, and looks after that is committed. What came in between to stand in the way is for the next round. */
function drop(call: Call): Promise<Sight> {
  const sql = `BEGIN; DROP ROLE IF EXISTS ${call.role}; COMMIT; ${leftStatement([call])}`;
  return orLook(call, DEPENDENT_OBJECTS, async (client) =>
    leftOf(await client.query(sql), [call]).length > 0 ? look(call, client) : NOTHING,
  );
}

/** Does something to it that ends with a look; after this SQLSTATE, which says that it has no effect, looks only. */
function orLook(
  call: Call,
  without: string,
  work: (client: pg.ClientBase) => Promise<Sight>,
): Promise<Sight> {
  return onMain(call, async (client) => {
    try {
      return await work(client);
    } catch (error) {
      if (vendorCode(error) !== without) throw error;
      return look(call, client, 'ROLLBACK');
    }
  });
}

/** What there is of it, after something else in the same round trip. */
async function look(call: Call, client: pg.ClientBase, after?: string): Promise<Sight> {
  const statement = lookStatement([call]);
  const sight = sightOf(await client.query(after === undefined ? statement : `${after}; ${statement}`));
  call.oid ??= sight.oid;
  return sight;
}

/** Cuts sessions until none is left, and none can come that had passed the check of the login when it was barred. */
async function cutSessions(call: Call, barred: Sight): Promise<Sight> {
  const expelled = await expelStarting(call, barred);
  let sight = barred;
  for (let waits = 0; ; waits++) {
    note(call, sight.seen);
    if (sight.sessions.length === 0 && !sight.starting.some((pid) => expelled.has(pid))) return sight;
    if (waits === MAX_WAITS) {
      const left = sight.sessions.length || expelled.size;
      throw new ProviderError('target-timeout', `Cannot ${DOING}: ${left} of its sessions do not end`);
    }
    if (sight.sessions.length > 0) await terminate(call, sight);
    await pause(call.runtime, waits, DOING, call.signal);
    sight = await onMain(call, (client) => look(call, client));
  }
}

/**
 * Cuts the sessions of this login among those that are starting, which do not show whose they are: as the login
 * itself, which may cut its own and is forbidden to cut others.
 */
async function expelStarting(call: Call, { oid, starting }: Sight): Promise<Set<number>> {
  const expelled = new Set<number>();
  if (oid === null) return expelled;
  for (const pid of starting) {
    await onMain(call, async (client) => {
      await grantToOurselves(client, call.role);
      await client.query(`BEGIN; SET LOCAL ROLE ${call.role}`);
      try {
        await client.query(`SELECT pg_terminate_backend(${pid})`);
        expelled.add(pid);
        call.deeds.sessions.add(pid);
        // It was past the check of its password, and shows no more of itself.
        note(call, [{ pid, address: null, application: null, since: null }]);
      } catch (error) {
        if (vendorCode(error) !== INSUFFICIENT_PRIVILEGE) throw error;
      }
      await client.query('ROLLBACK');
    });
  }
  return expelled;
}

async function terminate(call: Call, sight: Sight): Promise<void> {
  await onMain(call, async (client) => {
    await grantToOurselves(client, call.role);
    // With its rights we see addresses that may have been hidden from us.
    note(call, (await look(call, client)).seen);
    await client.query(
      `SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[${sight.sessions.join(',')}]) pid`,
    );
  });
  for (const pid of sight.sessions) call.deeds.sessions.add(pid);
}

/**
 * Waits until no transaction that makes a role, begun by any broker, is open which was when we came. The guard of a
 * mint is its last statement, and the lock on the roles is taken before: one that locks after we looked finds its
 * window passed, and one that locked before is waited for.
 */
async function outwaitMint(call: Call): Promise<void> {
  let waitedFor: Set<string> | null = null;
  for (let waits = 0; ; waits++) {
    const open: string[] = await onMain(call, async (client) => {
      const { rows } = await client.query(inFlightStatement);
      return rows.map((row: { transaction: string }) => row.transaction);
    });
    waitedFor ??= new Set(open);
    if (!open.some((transaction) => waitedFor?.has(transaction))) return;
    if (waits === MAX_WAITS) {
      throw new ProviderError('target-timeout', `Cannot ${DOING}: it may still be in the making`);
    }
    await pause(call.runtime, waits, DOING, call.signal);
  }
}

function onMain<T>(
  { connections, settings, signal }: Call,
  work: (client: pg.ClientBase) => Promise<T>,
): Promise<T> {
  return connections.run(settings.database, DOING, signal, work);
}

export function ended({ deeds, plan, settings, expiresAt, runtime }: Call): Ended {
  const address = addressOf(settings);
  const lapsesAt = deeds.found
    ? null
    : lapsesElsewhere({ doing: DOING, madeAt: plan.madeAt, address, expiresAt, now: runtime.now() });
  return {
    found: deeds.found,
    ...(lapsesAt === null ? {} : { lapsesAt }),
    sessions: [...deeds.seen.values()],
    evidence: {
      login: deeds.found ? 'dropped' : 'absent',
      sessions_terminated: deeds.sessions.size,
      sessions_left: 0,
      databases_cleaned: [...deeds.disowned.keys()],
      prepared_transactions_rolled_back: deeds.prepared.size,
    },
  };
}
