import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { archiveLog } from '../../src/archive.ts';
import { type LogSource, verifyLog } from '../../src/audit/verify.ts';
import { folderSource, liveSource } from '../../src/cli/log/sources.ts';
import { createLogReader } from '../../src/client/log.ts';
import { type Database, openDatabase, type Statement } from '../../src/store/database.ts';
import { makePartition, readLogHead } from '../../src/store/log.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openSink } from '../../src/store/sinks.ts';
import { logWorld } from '../audit/world.ts';
import { embeddedStore, MIGRATIONS, postgresStore } from '../support/stores.ts';

const postgres = await postgresStore();
const store = postgres.ok ? postgres.store : await embeddedStore();
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hallpass-archive-'));
});
afterAll(async () => {
  await store.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** 300 events in March, and 300 in April. */
async function twoMonths(database: Database) {
  const world = await logWorld(database);
  await makePartition(database, world.runtime.now());
  await makePartition(database, Date.parse('2026-04-15'));
  await world.live(50);
  await world.sequence();
  world.runtime.jump(40 * 86_400_000);
  await world.live(50);
  await world.sequence();
  const serve = (archive: LogSource | null) =>
    liveSource(createLogReader({ url: 'http://127.0.0.1:1', token: null, fetch: world.fetchLog }), archive);
  const verify = (source: LogSource) => verifyLog(source, { trusted: [world.signer.verifier], seen: [] });
  return { ...world, serve, verify };
}

async function partitions(database: Database): Promise<string[]> {
  const rows = await database.query<{ name: string }>(
    {
      name: 'partitions',
      text: `select c.relname::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'audit_event'::regclass order by 1`,
    },
    [],
  );
  return rows.map(({ name }) => name);
}

test('audit_event_month: events lie in the partition of their month, and each refuses to change', async () => {
  const database = await store.open();
  await twoMonths(database);
  expect(await partitions(database)).toEqual([
    'audit_event_2026_03',
    'audit_event_2026_04',
    'audit_event_default',
  ]);
  const count = async (table: string) =>
    (
      await database.query<{ n: number }>(
        { name: `n_${table}`, text: `select count(*)::int as n from ${table}` },
        [],
      )
    )[0]?.n;
  expect([
    await count('audit_event_2026_03'),
    await count('audit_event_2026_04'),
    await count('audit_event_default'),
  ]).toEqual([300, 300, 0]);
  for (const text of [
    "update audit_event_2026_03 set body = ''",
    'delete from audit_event_2026_03',
    'truncate audit_event_2026_03',
    'truncate audit_event_default',
    'delete from log_leaf',
  ])
    await expect(database.query({ name: text.slice(0, 50), text }, []), text).rejects.toThrow('append-only');
  await database.close();
});

test('archiveLog: a month that is over moves to a folder, and the log verifies with the folder and without', async () => {
  const database = await store.open();
  const world = await twoMonths(database);
  expect(await archiveLog(database, Date.parse('2026-03-31'), folder, [])).toEqual([
    'No month of the log ended before then',
  ]);
  expect(await archiveLog(database, Date.parse('2026-04-01'), folder, [])).toEqual([
    `audit_event_2026_03: entries up to 512 lie in ${folder}`,
  ]);
  expect(await partitions(database)).toEqual(['audit_event_2026_04', 'audit_event_default']);
  expect((await readLogHead(database))?.minimumIndex).toBe(512);
  expect(readdirSync(join(folder, 'tile', 'entries')).sort()).toEqual(['000', '001']);
  expect(await world.verify(world.serve(null))).toMatchObject({ findings: [], unread: 512 });
  expect(await world.verify(world.serve(folderSource(folder)))).toMatchObject({ findings: [], unread: 0 });
  // The log goes on.
  await world.hallpass.broker.committer.commit({
    events: [{ kind: 'disclosed', actor: { kind: 'system' }, about: {}, data: { what: 'x', filter: {} } }],
  });
  expect(await world.sequence()).toBe(1);
  expect(await world.verify(world.serve(folderSource(folder)))).toMatchObject({ findings: [], unread: 0 });
  await database.close();
});

test('archiveLog: refuses a month that is not sequenced, and an entry that was changed', async () => {
  const database = await store.open();
  const world = await twoMonths(database);
  const before = Date.parse('2026-05-01');
  await world.tamper(
    "update audit_event set body = body || ' ' where seq = (select seq from log_leaf where index = 3)",
  );
  await expect(archiveLog(database, before, folder, [])).rejects.toThrow('Cannot archive entry 3');
  await world.tamper(
    'update audit_event set body = rtrim(body) where seq = (select seq from log_leaf where index = 3)',
  );
  await archiveLog(database, Date.parse('2026-04-01'), folder, []);
  await expect(archiveLog(database, before, folder, [])).rejects.toThrow('its last bundle is not full yet');
  await database.close();
});

test('archiveLog: refuses a month that not all have whom the log is sent to', async () => {
  const database = await store.open();
  await twoMonths(database);
  const before = Date.parse('2026-04-01');
  await openSink(database, 'siem', 299);
  await openSink(database, 'former', 0);
  await expect(archiveLog(database, before, folder, ['siem', 'new'])).rejects.toThrow(
    'Cannot archive audit_event_2026_03: "siem" has yet to get entries from 299 on',
  );
  expect(await partitions(database)).toContain('audit_event_2026_03');
  await database.query({ name: 'on', text: "update log_sink set next_index = 300 where name = 'siem'" }, []);
  expect(await archiveLog(database, before, folder, ['siem', 'new'])).toHaveLength(1);
  await database.close();
});

/** An event of the last second of March, which a replica commits whose clock is behind. */
const LATE = `insert into audit_event (id, at, kind, body)
  values ('late', '2026-03-31T23:59:59Z', 'late', '{"late":true}') returning seq, at`;

test('archiveLog: keeps a month that an event came to while it was archived', async () => {
  const database = await store.open();
  await twoMonths(database);
  const racing: Database = {
    ...database,
    async query<Row>(statement: Statement, parameters: readonly unknown[]) {
      const rows = await database.query<Row>(statement, parameters);
      // The last that is read before the month is dropped.
      if (statement.name === 'log_keys')
        await database.script(
          `with e as (${LATE}) insert into audit_pending (at, seqs) select at, array[seq] from e`,
        );
      return rows;
    },
  };
  await expect(archiveLog(racing, Date.parse('2026-04-01'), folder, [])).rejects.toThrow(
    'Cannot archive audit_event_2026_03: an event came to it meanwhile',
  );
  expect(await partitions(database)).toContain('audit_event_2026_03');
  expect((await readLogHead(database))?.minimumIndex).toBe(0);
  await database.close();
});

test('archiveLog: refuses a month with an event whose place is none', async () => {
  const database = await store.open();
  const world = await twoMonths(database);
  await world.rows(`with e as (${LATE}) insert into log_leaf (index, seq, at) select -1, seq, at from e`);
  await expect(archiveLog(database, Date.parse('2026-04-01'), folder, [])).rejects.toThrow(
    'it holds events that have no index yet',
  );
  await database.close();
});

test('audit_event_month: nothing of another schema or session stands in for what it means', async () => {
  const database = await store.open();
  const at = Date.parse('2027-05-15');
  const [us] = await database.query<{ name: string }>(
    { name: 'us', text: 'select current_user::text as name' },
    [],
  );
  // Whoever may make a schema makes one with the name of the owner, and it comes before all others where "$user" does.
  await database.script(`
    create schema "${us!.name}";
    create table "${us!.name}".audit_event (like public.audit_event) partition by range (at);
    create function "${us!.name}".audit_event_is_append_only() returns trigger language plpgsql as 'begin return null; end';
    create temp table audit_event_2027_05 (seq bigint)`);
  await makePartition(database, at);
  const made = await database.query(
    {
      name: 'made',
      text: `
        select c.relnamespace::regnamespace::text as schema, i.inhparent::regclass = 'public.audit_event'::regclass as ours,
          array(select p.pronamespace::regnamespace::text from pg_trigger t join pg_proc p on p.oid = t.tgfoid
            where t.tgrelid = c.oid and p.proname = 'audit_event_is_append_only' order by 1) as triggers
        from pg_class c join pg_inherits i on i.inhrelid = c.oid where c.relname = 'audit_event_2027_05'`,
    },
    [],
  );
  expect(made).toEqual([{ schema: 'public', ours: true, triggers: ['public', 'public'] }]);
  await database.close();
});

test('postgres-grants.sql: the role can do all that a broker does, and cannot change what is logged', async (ctx) => {
  if (!postgres.ok) return ctx.skip(postgres.reason);
  const owner = await postgres.freshUrl('migrated');
  const script = join(import.meta.dirname, '../../deploy/postgres-grants.sql');
  try {
    await promisify(execFile)('psql', [owner, '--quiet', '--set', 'broker=least_broker', '--file', script]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return ctx.skip('needs psql (Debian postgresql-client)');
    throw error;
  }
  const database = await asRole(owner, 'least_broker');
  await migrate(database, MIGRATIONS);
  const world = await logWorld(database);
  await makePartition(database, world.runtime.now());
  await world.live(2);
  expect(await world.sequence()).toBe(12);
  for (const text of [
    "update audit_event set body = ''",
    'delete from audit_event',
    'truncate audit_event',
    'drop table audit_event_2026_03',
    'delete from audit_event_2026_03',
    'alter table audit_event disable trigger all',
    'update log_leaf set seq = 1',
    'delete from log_tile',
    'delete from log_head',
    'update log_key set key = key',
    'create table x (i int)',
  ])
    await expect(database.query({ name: text.slice(0, 50), text }, []), text).rejects.toThrow(
      /permission denied|must be owner/,
    );
  await database.close();
});

/** The owner's server as another role logs in to it: by a password that is made here. */
async function asRole(owner: string, role: string): Promise<Database> {
  const password = Buffer.from(crypto.getRandomValues(new Uint8Array(18))).toString('hex');
  const admin = await openDatabase({ url: owner, directory: null });
  await admin.script(`alter role ${role} password '${password}'`);
  await admin.close();
  const url = new URL(owner);
  url.username = role;
  url.password = password;
  return openDatabase({ url: url.href, directory: null });
}
