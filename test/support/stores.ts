import { cp, mkdtemp, rm } from 'node:fs/promises';
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
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-store-'));
  // Made once: starting on a copy takes a fraction of the time that making one does.
  const made = join(folder, 'migrated');
  const first = await openDatabase({ url: null, directory: made });
  await migrate(first, MIGRATIONS);
  await first.close();
  let opened = 0;
  return {
    name: 'PGlite',
    async open() {
      const directory = join(folder, `${++opened}`);
      await cp(made, directory, { recursive: true });
      return openDatabase({ url: null, directory });
    },
    stop: () => rm(folder, { recursive: true, force: true }),
  };
}

/** A store on a real Postgres, or why there is none. `url` gives a fresh, empty database. */
export async function postgresStore(): Promise<
  | {
      readonly ok: true;
      readonly server: PostgresServer;
      readonly store: StoreUnderTest;
      freshUrl(template?: string): Promise<string>;
    }
  | { readonly ok: false; readonly reason: string }
> {
  const available = (await availablePostgres())['18'];
  if (!available.ok) return { ok: false, reason: available.reason };
  const server = await startPostgres({ version: '18' });
  let made = 0;
  async function freshUrl(template = 'template1'): Promise<string> {
    const name = `store_${++made}`;
    const admin = await server.connect();
    await admin.query(`create database ${name} template ${template}`);
    await admin.end();
    return urlOf(name);
  }
  function urlOf(name: string): string {
    const url = new URL(server.adminUrl);
    url.pathname = `/${name}`;
    return url.href;
  }
  // Migrated once; each test then starts from a copy.
  const admin = await server.connect();
  await admin.query('create database migrated');
  await admin.end();
  const migrated = await openDatabase({ url: urlOf('migrated'), directory: null });
  await migrate(migrated, MIGRATIONS);
  await migrated.close();
  return {
    ok: true,
    server,
    freshUrl,
    store: {
      name: 'PostgreSQL 18',
      async open() {
        return openDatabase({ url: await freshUrl('migrated'), directory: null });
      },
      stop: () => server.stop(),
    },
  };
}

/** Where it does not matter which: a real Postgres, since a copy of a database is quickly made; else the embedded store. */
export async function anyStore(): Promise<StoreUnderTest> {
  const postgres = await postgresStore();
  return postgres.ok ? postgres.store : embeddedStore();
}
