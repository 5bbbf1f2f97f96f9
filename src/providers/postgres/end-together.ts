import type pg from 'pg';
import { ProviderError } from '../../errors.ts';
import { createGather } from '../../gather.ts';
import type { Ended, Ending } from '../provider.ts';
import { type Call, callOf, DOING, type EndContext, end, ended } from './end.ts';
import { END_GROUP_LOCK_MS, END_GROUP_LOGINS, END_GROUPS } from './limits.ts';
import { leftOf, leftStatement, lookStatement, type Sight, sightsOf } from './look.ts';

/** An end that takes the short way. */
interface Waiting {
  readonly call: Call;
  /** Says whether it came to the end of it. */
  readonly resolve: (isGone: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Ends logins. Those that come while others are being ended form a group and take the short way together: two
 * transactions bar and drop all of them, which costs hardly more than one login. Nobody waits for company. A login of
 * which there is more than its name (sessions, objects, a mint that never answered), and every login of a group where
 * something failed, goes on alone and the long way.
 */
export function createEnd(context: EndContext): (ending: Ending, signal: AbortSignal) => Promise<Ended> {
  // The other half of the connections is for what else there is to do.
  const mostGroups = Math.min(END_GROUPS, Math.ceil(context.settings.pool.size / 2));
  const join = createGather<Waiting>({ groups: mostGroups, items: END_GROUP_LOGINS }, (group) =>
    endGroup(context, group),
  );

  function takeShortWay(call: Call): Promise<boolean> {
    return new Promise((resolve, reject) => {
      // The long way says that it was aborted.
      call.signal.addEventListener('abort', () => resolve(false), { once: true });
      join({ call, resolve, reject });
    });
  }

  return async (ending, signal) => {
    const call = callOf(context, ending, signal);
    const isGone = !call.mintUnanswered && !signal.aborted && (await takeShortWay(call));
    return isGone ? ended(call) : end(call);
  };
}

async function endGroup({ connections, settings }: EndContext, waiting: readonly Waiting[]): Promise<void> {
  const group = waiting.filter(({ call }) => !call.signal.aborted);
  if (group.length === 0) return;
  const calls = group.map(({ call }) => call);
  try {
    const gone = await connections.run(settings.database, DOING, abortOfAll(calls), (client) =>
      barAndDrop(client, calls),
    );
    for (const { call, resolve } of group) resolve(gone.has(call));
  } catch (error) {
    const isAway = error instanceof ProviderError && error.code === 'target-unreachable';
    for (const { resolve, reject } of group) isAway ? reject(error) : resolve(false);
  }
}

/** Answers the logins of which nothing is left. */
async function barAndDrop(client: pg.ClientBase, calls: readonly Call[]): Promise<ReadonlySet<Call>> {
  const bars = calls.map(({ role }) => `ALTER ROLE ${role} NOLOGIN`).join('; ');
  const barred = await client.query(
    `${BEGIN}; SET LOCAL synchronous_commit TO off; ${bars}; COMMIT; ${lookStatement(calls)}`,
  );
  const sights = sightsOf(barred, calls);
  const bare = calls.filter((call, place) => isBare(call, sights[place]));
  if (bare.length === 0) return new Set();
  for (const { deeds } of bare) deeds.found = true;
  const drop = `DROP ROLE IF EXISTS ${bare.map(({ role }) => role).join(', ')}`;
  const left = leftOf(await client.query(`${BEGIN}; ${drop}; COMMIT; ${leftStatement(bare)}`), bare);
  return new Set(bare.filter((call) => !left.includes(call)));
}

const BEGIN = `BEGIN; SET LOCAL lock_timeout TO ${END_GROUP_LOCK_MS}`;

/** Whether it is the login that we made, and there is no more of it than that. */
function isBare({ oid }: Call, sight: Sight | undefined): boolean {
  if (sight === undefined || sight.oid !== oid) return false;
  const { sessions, starting, prepared, databases } = sight;
  return [sessions, starting, prepared, databases].every((found) => found.length === 0);
}

/** Aborts when nobody waits any more. */
function abortOfAll(calls: readonly Call[]): AbortSignal {
  const controller = new AbortController();
  let waiting = calls.length;
  for (const { signal } of calls) {
    signal.addEventListener('abort', () => --waiting === 0 && controller.abort(signal.reason), {
      once: true,
    });
  }
  return controller.signal;
}
