import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { MIGRATIONS, postgresStore } from '../support/stores.ts';

const postgres = await postgresStore();
const made: string[] = [];
afterAll(async () => {
  for (const directory of made) rmSync(directory, { recursive: true });
  if (postgres.ok) await postgres.store.stop();
});

const stores = {
  PGlite: async () => {
    const database = await openDatabase({ url: null, directory: null });
    return { open: async () => database, close: () => database.close() };
  },
  ...(postgres.ok
    ? {
        'PostgreSQL 18': async () => {
          const url = await postgres.freshUrl();
          const opened: Database[] = [];
          return {
            async open() {
              const database = await openDatabase({ url, directory: null });
              opened.push(database);
              return database;
            },
            close: async () => void (await Promise.all(opened.map((database) => database.close()))),
          };
        },
      }
    : {}),
};
if (!postgres.ok) test.skip('migrate: on a real Postgres', (ctx) => ctx.skip(postgres.reason));

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hallpass-migrations-'));
  made.push(directory);
  cpSync(MIGRATIONS, directory, { recursive: true });
  // What the migrations make is told beside them, and is none of them.
  rmSync(join(directory, 'schema.sql'));
});

/** Adds the next migration to the directory. */
function add(sql: string, name = 'more'): string {
  const number = 1 + Math.max(...readdirSync(directory).map((file) => Number(file.slice(0, 4))));
  const path = join(directory, `${String(number).padStart(4, '0')}_${name}.sql`);
  writeFileSync(path, sql);
  return path;
}

async function applied(database: Database): Promise<number[]> {
  const rows = await database.query<{ number: number }>(
    { name: 'test_applied', text: 'select number from migration order by number' },
    [],
  );
  return rows.map((row) => row.number);
}

for (const [name, create] of Object.entries(stores)) {
  describe(`migrate on ${name}`, () => {
    test('migrate: applies each file once, in order, and those that came since', async () => {
      const store = await create();
      const database = await store.open();
      await migrate(database, directory);
      await migrate(database, directory);
      const first = await applied(database);
      const last = first.at(-1) ?? 0;
      add('create table extra (id integer)');
      add('alter table extra add column name text');
      await migrate(database, directory);
      expect(await applied(database)).toEqual([...first, last + 1, last + 2]);
      await store.close();
    });

    test('migrate: a file that was changed after it was applied is refused', async () => {
      const store = await create();
      const database = await store.open();
      const path = add('create table extra (id integer)');
      await migrate(database, directory);
      writeFileSync(path, 'create table extra (id bigint)');
      await expect(migrate(database, directory)).rejects.toMatchObject({ code: 'store-schema' });
      await store.close();
    });

    test('migrate: a database that is ahead is refused', async () => {
      const store = await create();
      const database = await store.open();
      const path = add('create table extra (id integer)');
      await migrate(database, directory);
      rmSync(path);
      await expect(migrate(database, directory)).rejects.toMatchObject({ code: 'store-schema' });
      await store.close();
    });

    test('migrate: a file that fails in its middle leaves nothing, and its mended form is applied', async () => {
      const store = await create();
      const database = await store.open();
      const path = add('create table extra (id integer); insert into extra values (1); select 1 / 0;');
      await expect(migrate(database, directory)).rejects.toThrow('division by zero');
      const before = await applied(database);
      const tables = { name: 'test_extra', text: "select to_regclass('extra')::text as extra" };
      expect(await database.query(tables, [])).toEqual([{ extra: null }]);
      writeFileSync(path, 'create table extra (id integer)');
      await migrate(database, directory);
      expect(await applied(database)).toHaveLength(before.length + 1);
      await store.close();
    });
  });
}

test('migrate: eight replicas that start at once over an empty database all come up, and each file is applied once', async (ctx) => {
  if (!postgres.ok) return ctx.skip(postgres.reason);
  add('create table extra (id integer); insert into extra values (1)');
  for (let round = 0; round < 3; round++) {
    const url = await postgres.freshUrl();
    const replicas = await Promise.all(
      Array.from({ length: 8 }, () => openDatabase({ url, directory: null, connections: 1 })),
    );
    await Promise.all(replicas.map((replica) => migrate(replica, directory)));
    const rows = { name: 'test_rows', text: 'select count(*)::int as count from extra' };
    expect(await replicas[0]!.query(rows, [])).toEqual([{ count: 1 }]);
    await Promise.all(replicas.map((replica) => replica.close()));
  }
});

test('migrate: a replica that dies in the middle of a file holds nobody up, and leaves nothing half done', async (ctx) => {
  if (!postgres.ok) return ctx.skip(postgres.reason);
  const url = await postgres.freshUrl();
  const dying = await openDatabase({ url, directory: null });
  await migrate(dying, directory);
  const path = add('create table extra (id integer); select pg_sleep(20);');
  const death = expect(migrate(dying, directory)).rejects.toMatchObject({ code: 'store-unavailable' });
  const next = await openDatabase({ url, directory: null });
  const kill = {
    name: 'test_kill',
    text: `select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(20)%' and pid <> pg_backend_pid()
             and datname = current_database()`,
  };
  while ((await next.query(kill, [])).length === 0);
  await death;
  writeFileSync(path, 'create table extra (id integer)');
  await migrate(next, directory);
  expect(await applied(next)).toHaveLength(readdirSync(directory).length);
  await Promise.all([dying.close(), next.close()]);
});
