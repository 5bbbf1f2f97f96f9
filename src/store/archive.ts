import { instant } from '../instant.ts';
import type { Database } from './database.ts';

/** A month of the log that is over. */
export interface SealedMonth {
  /** The name of its partition. */
  readonly partition: string;
  /** How many events it holds. */
  readonly events: number;
  /** The entry after its last; null when it holds events that have no index yet. Zero when it is empty. */
  readonly end: number | null;
}

/** The months that lie wholly before an instant, the oldest first. Milliseconds since the epoch. */
export async function sealedMonths(database: Database, before: number): Promise<SealedMonth[]> {
  const rows = await database.query<{ partition: string }>(
    {
      name: 'sealed_months',
      text: `
        select c.relname::text as partition from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'audit_event'::regclass and c.relname ~ '^audit_event_\\d{4}_\\d{2}$'
          and (to_date(substr(c.relname, 13), 'YYYY_MM') + interval '1 month') at time zone 'UTC' <= $1::timestamptz
        order by 1`,
    },
    [instant(before)],
  );
  return Promise.all(
    rows.map(async ({ partition }) => ({ partition, ...(await extentOf(database, partition)) })),
  );
}

async function extentOf(database: Database, partition: string): Promise<Pick<SealedMonth, 'events' | 'end'>> {
  const [row] = await database.query<{ events: string; sequenced: string; last: string | null }>(
    {
      name: `extent_of_${partition}`,
      // Whoever may add a row to log_leaf could give an event a place that is none, and so have it dropped.
      text: `select count(*)::text as events, count(l.index)::text as sequenced, max(l.index)::text as last
        from ${partition} e left join log_leaf l on l.seq = e.seq and l.index >= 0`,
    },
    [],
  );
  const events = Number(row?.events ?? 0);
  if (row === undefined || row.events !== row.sequenced) return { events, end: null };
  return { events, end: row.last === null ? 0 : Number(row.last) + 1 };
}

/**
 * Lets go of a month whose entries lie elsewhere by now: all below `minimumIndex`. Only the owner of the tables can.
 * Fails when it holds another number of events than it did: one came late, by a clock that was behind.
 */
export async function dropMonth(
  database: Database,
  { partition, events }: SealedMonth,
  minimumIndex: number,
): Promise<void> {
  if (!/^audit_event_\d{4}_\d{2}$/.test(partition))
    throw new RangeError(`${partition} is no month of the log`);
  await database.script(`
    do $$ begin
      lock table ${partition} in share row exclusive mode;
      if (select count(*) from ${partition}) <> ${Math.trunc(events)} then
        raise exception 'Cannot archive ${partition}: an event came to it meanwhile, archive it again';
      end if;
      update log_head set minimum_index = greatest(minimum_index, ${Math.trunc(minimumIndex)});
      drop table ${partition};
    end $$`);
}
