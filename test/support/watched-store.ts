import { expect, vi } from 'vitest';
import { type Database, openDatabase, sqlState } from '../../src/store/database.ts';

/** A store of which it is seen which statements failed, and how many wait for the locks of others. */
export interface WatchedStore extends AsyncDisposable {
  readonly database: Database;
  /** The SQLSTATEs of statements that failed, also of those that were sent again. */
  readonly failures: readonly unknown[];
  /** Resolves once so many statements wait for a lock. */
  waiting(count: number): Promise<unknown>;
}

export async function openWatchedStore(url: string): Promise<WatchedStore> {
  const inner = await openDatabase({ url, directory: null });
  const failures: unknown[] = [];
  return {
    failures,
    database: {
      ...inner,
      query: (statement, parameters) =>
        inner.query<never>(statement, parameters).catch((error: unknown) => {
          failures.push(sqlState(error));
          throw error;
        }),
    },
    waiting: (count) =>
      vi.waitFor(async () => {
        const text = `select 1 from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`;
        expect(await inner.query({ name: 'waiting', text }, [])).toHaveLength(count);
      }),
    [Symbol.asyncDispose]: () => inner.close(),
  };
}
