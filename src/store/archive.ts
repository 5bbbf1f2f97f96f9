import { instant } from '../instant.ts';
import type { Database } from './database.ts';

/** A month of the log that is over. */
export interface SealedMonth {
  /** The name of its partition. */
  readonly partition: string;
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
    rows.map(async ({ partition }) => ({ partition, end: await endOf(database, partition) })),
  );
}

async function endOf(database: Database, partition: string): Promise<number | null> {
  const [row] = await database.query<{ events: string; sequenced: string; last: string | null }>(
    {
      name: `end_of_${partition}`,
      text: `select count(*)::text as events, count(l.index)::text as sequenced, max(l.index)::text as last
        from ${partition} e left join log_leaf l on l.seq = e.seq`,
    },
    [],
  );
  if (row === undefined || row.events !== row.sequenced) return null;
  return row.last === null ? 0 : Number(row.last) + 1;
}

/** Lets go of a month whose entries lie elsewhere by now: all below `minimumIndex`. Only the owner of the tables can. */
export async function dropMonth(database: Database, partition: string, minimumIndex: number): Promise<void> {
  if (!/^audit_event_\d{4}_\d{2}$/.test(partition))
    throw new RangeError(`${partition} is no month of the log`);
  await database.script(
    `update log_head set minimum_index = greatest(minimum_index, ${Math.trunc(minimumIndex)}); drop table ${partition}`,
  );
}
