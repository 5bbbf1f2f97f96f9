import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { availablePostgres, type PostgresServer, startKeeper, startPostgres } from './postgres.ts';

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
  let opened = 0;
  return {
    name: 'PGlite',
    async open() {
      const directory = join(folder, `${++opened}`);
      await layEmbeddedStore(directory);
      return openDatabase({ url: null, directory });
    },
    stop: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Puts a migrated, empty store where a broker with this state directory finds it: making one would take it seconds. */
export async function layEmbeddedStore(directory: string): Promise<void> {
  made ??= makeEmbeddedStore();
  await cp(await made, directory, { recursive: true });
}

/** Made once in a process; it ends with it. */
let made: Promise<string> | undefined;

async function makeEmbeddedStore(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-store-'));
  startKeeper(folder);
  const directory = join(folder, 'migrated');
  const database = await openDatabase({ url: null, directory });
  await migrate(database, MIGRATIONS);
  await database.close();
  return directory;
}

export type PostgresStore = {
  readonly ok: true;
  readonly server: PostgresServer;
  readonly store: StoreUnderTest;
  /** A fresh database on the server: empty, or a copy of `migrated`. */
  freshUrl(template?: 'migrated'): Promise<string>;
};

/**
 * A store on a real Postgres, or why there is none. All that ask in this process share one server: whoever kills it,
 * or looks at how it is set up, starts his own with `ownPostgresStore`.
 */
export async function postgresStore(): Promise<PostgresStore | Unavailable> {
  shared ??= startMigrated(QUICK);
  const server = await shared;
  return server.ok ? storeOn(server.server, (names) => drop(server.server, names)) : server;
}

/** The same on a server of its own, as PostgreSQL sets it up but for `fsync`. It ends with the store. */
export async function ownPostgresStore(): Promise<PostgresStore | Unavailable> {
  const server = await startMigrated({});
  return server.ok ? storeOn(server.server, () => server.server.stop()) : server;
}

type Unavailable = { readonly ok: false; readonly reason: string };

/** It ends with the process. */
let shared: ReturnType<typeof startMigrated> | undefined;

/** Nobody needs what is on its disk after a crash, and copies of databases need not stand in its log. */
const QUICK = { full_page_writes: 'off', wal_level: 'minimal', max_wal_senders: '0' };

/** A server with the database `migrated`: each test starts from a copy. */
async function startMigrated(
  settings: Readonly<Record<string, string>>,
): Promise<{ readonly ok: true; readonly server: PostgresServer } | Unavailable> {
  const available = (await availablePostgres())['18'];
  if (!available.ok) return { ok: false, reason: available.reason };
  const server = await startPostgres({ version: '18', settings });
  const admin = await server.connect();
  await admin.query('create database migrated');
  await admin.end();
  const migrated = await openDatabase({ url: urlOf(server, 'migrated'), directory: null });
  await migrate(migrated, MIGRATIONS);
  await migrated.close();
  return { ok: true, server };
}

function storeOn(server: PostgresServer, stop: (made: readonly string[]) => Promise<void>): PostgresStore {
  const made: string[] = [];
  async function freshUrl(template = 'template1'): Promise<string> {
    const name = `store_${++databases}`;
    const admin = await server.connect();
    await admin.query(`create database ${name} template ${template} strategy file_copy`);
    await admin.end();
    made.push(name);
    return urlOf(server, name);
  }
  return {
    ok: true,
    server,
    freshUrl,
    store: {
      name: 'PostgreSQL 18',
      async open() {
        return openDatabase({ url: await freshUrl('migrated'), directory: null });
      },
      stop: () => stop(made),
    },
  };
}

let databases = 0;

async function drop(server: PostgresServer, names: readonly string[]): Promise<void> {
  const admin = await server.connect();
  for (const name of names) await admin.query(`drop database ${name} with (force)`);
  await admin.end();
}

function urlOf(server: PostgresServer, database: string): string {
  const url = new URL(server.adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}

/** Where it does not matter which: a real Postgres, since a copy of a database is quickly made; else the embedded store. */
export async function anyStore(): Promise<StoreUnderTest> {
  const postgres = await postgresStore();
  return postgres.ok ? postgres.store : embeddedStore();
}
