import { HallpassError } from '../../src/errors.ts';
import type { Database } from '../../src/store/database.ts';
import { isCommit } from '../support/commit-statement.ts';
import type { Ledger } from './ledger.ts';
import { heardBy, never, type Owner } from './owner.ts';
import type { Schedule } from './schedule.ts';
import type { Weather } from './weather.ts';

/** The way from the replicas to their store. */
export interface Wire {
  weather: Weather;
  /** The store as one replica sees it: each statement goes there and its answer comes back by the schedule. */
  seenBy(owner: Owner): Database;
}

export function createWire(schedule: Schedule, database: Database, ledger: Ledger, weather: Weather): Wire {
  const { random } = schedule;

  async function statement<Row>(
    owner: Owner,
    name: string,
    parameters: readonly unknown[],
    run: () => Promise<Row[]>,
  ): Promise<Row[]> {
    schedule.mix(parameters);
    const there = wire.weather.there(random);
    await schedule.turn(`${owner.name} sends ${name}${there === 'well' ? '' : `: ${there}`}`);
    // What is on the wire of a replica that died arrives, or does not.
    if (!owner.alive && random.chance(0.5)) return never();
    if (there === 'slow') await schedule.sleep(random.pick([5, 700, 20_000]));
    else if (there === 'throttled' && isCommit(name)) throw collision();
    else if (there !== 'well') throw away();
    const rows = await schedule.work(
      run().then(async (answer) => {
        await ledger.watch({ name, text: '' }, parameters, answer);
        return answer;
      }),
    );
    const back = wire.weather.back(random);
    if (back === 'slow') await schedule.sleep(random.pick([5, 700, 20_000]));
    await schedule.turn(`${owner.name} hears ${name}${back === 'well' ? '' : `: ${back}`}`);
    if (back !== 'well' && back !== 'slow') throw away();
    return rows;
  }

  /** A builder of drizzle's whose statement goes out when it is awaited. */
  function builder<B extends object>(owner: Owner, built: B): B {
    return new Proxy(built, {
      get(target, key) {
        if (key === 'then') {
          return (resolve: (value: unknown) => void, reject: (error: unknown) => void) =>
            heardBy(owner, () =>
              statement(owner, 'select', [], async () => inOrder((await target) as object[])),
            ).then(resolve, reject);
        }
        const member: unknown = Reflect.get(target, key, target);
        if (typeof member !== 'function') return member;
        return (...parameters: unknown[]) => {
          const answer: unknown = member.apply(target, parameters);
          return answer !== null && typeof answer === 'object' ? builder(owner, answer) : answer;
        };
      },
    });
  }

  const wire: Wire = {
    weather,
    seenBy: (owner) => ({
      ...database,
      orm: new Proxy(database.orm, {
        get: (orm, key) =>
          key === 'select'
            ? (...parameters: Parameters<typeof orm.select>) => builder(owner, orm.select(...parameters))
            : Reflect.get(orm, key, orm),
      }),
      query: <Row>(asked: { readonly name: string; readonly text: string }, parameters: readonly unknown[]) =>
        heardBy(owner, () =>
          statement(owner, asked.name, parameters, async () =>
            inOrder(await database.query<Row & object>(tieless(asked), parameters)),
          ),
        ),
    }),
  };
  return wire;
}

/** Where instants are equal the database may answer in any order. Here the id decides, so that a seed replays. */
function tieless(statement: { readonly name: string; readonly text: string }) {
  if (statement.name !== 'claim_due') return statement;
  return { ...statement, text: statement.text.replace('order by due_at limit', 'order by due_at, id limit') };
}

function inOrder<Row extends object>(rows: Row[]): Row[] {
  const key = (row: object) => ('id' in row ? String(row.id) : '');
  return [...rows].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

function away(): HallpassError {
  return new HallpassError('store-unavailable', 'Cannot reach the store: its database does not answer');
}

/** As the driver reports a transaction that lost against another one. */
function collision(): Error {
  return Object.assign(new Error('could not serialize access'), { code: '40001' });
}
