import type { NewEvent } from '../audit/event.ts';
import { instant } from '../instant.ts';
import type { Runtime } from '../runtime.ts';
import type { Database } from './database.ts';
import { logWhere, recordOf } from './logged.ts';

/** Makes the cursor of a sink at entry `from`, unless there is one. */
export async function openSink(database: Database, name: string, from: number): Promise<void> {
  await database.query(
    {
      name: 'open_sink',
      text: 'insert into log_sink (name, next_index, fence) values ($1, $2, 0) on conflict do nothing',
    },
    [name, from],
  );
}

export interface SinkClaim {
  /** The next entry that it is to get. */
  readonly next: number;
  readonly fence: string;
  /** How often what comes next was refused for good. */
  readonly refusals: number;
}

/** Takes or keeps the right to deliver to a sink; null while another process holds it. Instants are milliseconds since the epoch. */
export async function claimSink(
  database: Database,
  name: string,
  holder: string,
  now: number,
  forMs: number,
): Promise<SinkClaim | null> {
  const [row] = await database.query<{ next: string; fence: string; refusals: number }>(
    {
      name: 'claim_sink',
      text: `
        update log_sink set holder = $2, held_until = $4,
          fence = case when holder = $2 and held_until > $3 then fence else fence + 1 end
        where name = $1 and (holder = $2 or holder is null or held_until <= $3 or held_until > $5)
        returning next_index::text as next, fence::text, refusals`,
    },
    [name, holder, instant(now), instant(now + forMs), instant(now + 10 * forMs)],
  );
  return row === undefined ? null : { ...row, next: Number(row.next) };
}

/** Gives the right to deliver back, where `holder` has it. */
export async function releaseSink(database: Database, name: string, holder: string): Promise<void> {
  await database.query(
    {
      name: 'release_sink',
      text: `update log_sink set holder = null, held_until = null, fence = fence + 1
             where name = $1 and holder = $2`,
    },
    [name, holder],
  );
}

/** Moves the cursor; nothing happens when the claim is another's by now. */
export async function advanceSink(
  database: Database,
  name: string,
  fence: string,
  next: number,
): Promise<void> {
  await database.query(
    {
      name: 'advance_sink',
      text: 'update log_sink set next_index = $3, refusals = 0 where name = $1 and fence = $2',
    },
    [name, fence, next],
  );
}

/** Remembers that what comes next was refused for good once more. */
export async function countRefusal(database: Database, name: string, fence: string): Promise<void> {
  await database.query(
    {
      name: 'count_refusal',
      text: 'update log_sink set refusals = refusals + 1 where name = $1 and fence = $2',
    },
    [name, fence],
  );
}

/** Moves the cursor past what was not sent, with the event that says so; nothing happens when the claim is another's. */
export async function giveUpEntries(
  database: Database,
  runtime: Runtime,
  name: string,
  fence: string,
  next: number,
  event: NewEvent,
): Promise<void> {
  await database.query(
    {
      name: 'give_up_entries',
      text: `
        with moved as (
          update log_sink set next_index = $4, refusals = 0 where name = $1 and fence = $3 returning 1),
        ${logWhere('moved')}
        select from moved`,
    },
    [name, recordOf(runtime, event), fence, next],
  );
}

/** How far each sink has come. */
export interface SinkPlace {
  readonly name: string;
  /** The next entry that it is to get. */
  readonly next: number;
  /** How many entries it has yet to get. */
  readonly lag: number;
}

export async function sinkPlaces(database: Database): Promise<SinkPlace[]> {
  const rows = await database.query<{ name: string; next: string; lag: string }>(
    {
      name: 'sink_places',
      text: `select s.name, s.next_index::text as next, greatest(h.size - s.next_index, 0)::text as lag
             from log_sink s, log_head h`,
    },
    [],
  );
  return rows.map(({ name, next, lag }) => ({ name, next: Number(next), lag: Number(lag) }));
}
