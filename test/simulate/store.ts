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

const TABLES = ['lease', 'task', 'audit_event', 'used_evidence', 'quota', 'task_grant', 'installation'];

/** Emptied by deleting, which is quick; now and then the tables are made anew, since what was deleted leaves holes. */
const RENEW_EVERY = 200;

export async function openEmptiedStore(store: StoreUnderTest): Promise<EmptiedStore> {
  const database = await store.open();
  // The log refuses to be emptied, as it should; here a history's log ends with the history.
  await database.script('alter table audit_event disable trigger user');
  const deletions = TABLES.slice(1).map((table, index) => `d${index} as (delete from ${table})`);
  const emptied = { name: 'simulated_empty', text: `with ${deletions.join(', ')} delete from ${TABLES[0]}` };
  let times = 0;
  return {
    name: store.name,
    database,
    async empty() {
      if (times++ % RENEW_EVERY === 0)
        await database.script(`truncate ${TABLES.join(', ')} restart identity`);
      else await database.query(emptied, []);
    },
    async close() {
      await database.close();
      await store.stop();
    },
  };
}
