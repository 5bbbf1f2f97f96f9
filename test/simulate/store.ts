import type { Database } from '../../src/store/database.ts';
import type { StoreUnderTest } from '../support/stores.ts';

/** One database for many histories, one after the other. */
export interface EmptiedStore {
  readonly name: string;
  readonly database: Database;
  /** As it was after the migrations. */
  empty(): Promise<void>;
  close(): Promise<void>;
}

/** Emptied by deleting, which is quick; now and then the tables are made anew, since what was deleted leaves holes. */
const RENEW_EVERY = 200;

export async function openEmptiedStore(store: StoreUnderTest): Promise<EmptiedStore> {
  const database = await store.open();
  const found = await database.query<{ name: string }>(TABLES, []);
  const [first, ...others] = found.map(({ name }) => `"${name}"`);
  // The log refuses to be emptied, as it should; here a history's log ends with the history.
  const free = found.map(({ name }) => `alter table "${name}" disable trigger user`);
  await database.script(free.join('; '));
  const deletions = others.map((table, index) => `d${index} as (delete from ${table})`);
  const emptied = { name: 'simulated_empty', text: `with ${deletions.join(', ')} delete from ${first}` };
  let times = 0;
  return {
    name: store.name,
    database,
    async empty() {
      if (times++ % RENEW_EVERY === 0)
        await database.script(`truncate ${[first, ...others].join(', ')} restart identity`);
      else await database.query(emptied, []);
    },
    async close() {
      await database.close();
      await store.stop();
    },
  };
}

/** All that histories write into. Rows that migrations made stay. */
const TABLES = {
  name: 'simulated_tables',
  text: `select t.tablename as name from pg_tables t
         where t.schemaname = 'public'
           and (xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %I', t.tablename), false, true, '')))[1]::text = '0'
         order by 1`,
};
