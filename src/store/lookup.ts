import { createGather } from '../gather.ts';
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
 * Reads together what is asked for one by one. The statement takes the keys as `$1`, and its rows name theirs as `key`.
 * It is sent after its keys were asked for, so a reader sees all that was committed before he asked. Who waits is a
 * request that is being served or a lease that was claimed: their bounds bound the queue.
 */
export function createLookup<Row extends { readonly key: string }>(statement: Statement): Lookup<Row> {
  const lookups = new WeakMap<Database, (asked: Waiting<Row>) => void>();

  function lookupIn(database: Database): (asked: Waiting<Row>) => void {
    const known = lookups.get(database);
    if (known !== undefined) return known;
    const lookup = createGather<Waiting<Row>>({ groups: 1, items: MAX_KEYS }, (group) =>
      answer(database, group),
    );
    lookups.set(database, lookup);
    return lookup;
  }

  async function answer(database: Database, asked: readonly Waiting<Row>[]): Promise<void> {
    try {
      const keys = [...new Set(asked.map(({ key }) => key))];
      const rows = await database.query<Row>(statement, [keys]);
      const found = new Map(rows.map((row) => [row.key, row]));
      for (const { key, resolve } of asked) resolve(found.get(key) ?? null);
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }

  return (database, key) => new Promise((resolve, reject) => lookupIn(database)({ key, resolve, reject }));
}
