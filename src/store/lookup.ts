import type { Database, Statement } from './database.ts';

/** Keys in one statement at the most. */
const MAX_KEYS = 256;

interface Waiting<Row> {
  readonly key: string;
  readonly resolve: (row: Row | null) => void;
  readonly reject: (error: unknown) => void;
}

/** Reads the row of a key, or null where there is none. */
export type Lookup<Row> = (database: Database, key: string) => Promise<Row | null>;

/**
 * Reads together what is asked for one by one: keys that arrive while a statement runs form the next, as the group
 * commit does with changes. The statement takes the keys as `$1`, and its rows name theirs as `key`. It is sent after
 * its keys were asked for, so a reader sees all that was committed before he asked. Who waits is a request that is
 * being served or a lease that was claimed: their bounds bound the queue.
 */
export function createLookup<Row extends { readonly key: string }>(statement: Statement): Lookup<Row> {
  const queues = new WeakMap<Database, Waiting<Row>[]>();

  async function run(database: Database, queue: Waiting<Row>[]): Promise<void> {
    while (queue.length > 0) {
      const asked = queue.splice(0, MAX_KEYS);
      try {
        const keys = [...new Set(asked.map(({ key }) => key))];
        const rows = await database.query<Row>(statement, [keys]);
        const found = new Map(rows.map((row) => [row.key, row]));
        for (const { key, resolve } of asked) resolve(found.get(key) ?? null);
      } catch (error) {
        for (const { reject } of asked) reject(error);
      }
    }
    queues.delete(database);
  }

  return (database, key) =>
    new Promise((resolve, reject) => {
      const queue = queues.get(database);
      const waiting = { key, resolve, reject };
      if (queue !== undefined) {
        queue.push(waiting);
        return;
      }
      const begun = [waiting];
      queues.set(database, begun);
      // The rest of this turn of the event loop joins the first statement.
      queueMicrotask(() => void run(database, begun));
    });
}
