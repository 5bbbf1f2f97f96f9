import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { availablePostgres, type PostgresServer, startPostgres } from './postgres.ts';

export const MIGRATIONS = join(import.meta.dirname, '../../migrations');

/** The stores that a test runs on: the embedded one, and each real Postgres that can be had. */
export interface StoreUnderTest {
  readonly name: string;
  /** An empty, migrated database of its own, opened anew each time. */
  open(): Promise<Database>;
  stop(): Promise<void>;
}

export async function embeddedStore(): Promise<StoreUnderTest> {
  const directories: string[] = [];
  return {
    name: 'PGlite',
    async open() {
      const directory = await mkdtemp(join(tmpdir(), 'hallpass-store-'));
      directories.push(directory);
      const database = await openDatabase({ url: null, directory: null });
      await migrate(database, MIGRATIONS);
      return database;
    },
    async stop() {
      await Promise.all(directories.map((directory) => rm(directory, { recursive: true, force: true })));
    },
  };
}

/** A store on a real Postgres, or why there is none. `url` gives a fresh, empty database. */
export async function postgresStore(): Promise<
  | { readonly ok: true; readonly server: PostgresServer; readonly store: StoreUnderTest; freshUrl(): Promise<string> }
  | { readonly ok: false; readonly reason: string }
> {
  const available = (await availablePostgres())['18'];
  if (!available.ok) return { ok: false, reason: available.reason };
  const server = await startPostgres({ version: '18' });
  let made = 0;
  async function freshUrl(): Promise<string> {
    const name = `store_${++made}`;
    const admin = await server.connect();
    await admin.query(`create database ${name}`);
    await admin.end();
    const url = new URL(server.adminUrl);
    url.pathname = `/${name}`;
    return url.href;
  }
  return {
    ok: true,
    server,
    freshUrl,
    store: {
      name: 'PostgreSQL 18',
      async open() {
        const database = await openDatabase({ url: await freshUrl(), directory: null });
        await migrate(database, MIGRATIONS);
        return database;
      },
      stop: () => server.stop(),
    },
  };
}
