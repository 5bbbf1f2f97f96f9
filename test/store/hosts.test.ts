import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { hostUrls } from '../../src/store/hosts.ts';
import { availablePostgres, type PostgresServer, startPostgres } from '../support/postgres.ts';

const available = (await availablePostgres())['18'];
const reason = available.ok ? null : available.reason;

describe('hostUrls', () => {
  test('one server is left as it is written', () => {
    const url = 'postgres://hallpass:p%40ss,word@db.example:5432/hallpass?sslmode=verify-full';
    expect(hostUrls(url)).toEqual([url]);
  });

  test('several servers share the rest, each with its port', () => {
    expect(hostUrls('postgresql://u:a,b@one:5432,two,[::1]:5433/name?sslmode=require')).toEqual([
      'postgresql://u:a,b@one:5432/name?sslmode=require',
      'postgresql://u:a,b@two/name?sslmode=require',
      'postgresql://u:a,b@[::1]:5433/name?sslmode=require',
    ]);
  });
});

describe('a store of two servers', () => {
  let one: PostgresServer;
  let two: PostgresServer;
  let database: Database;

  beforeAll(async () => {
    if (reason !== null) return;
    [one, two] = await Promise.all([startPostgres({ version: '18' }), startPostgres({ version: '18' })]);
    for (const server of [one, two]) {
      const admin = await server.connect();
      await admin.query('create sequence written');
      // One password for both, as servers that are copies of each other have.
      await admin.query(`alter role postgres password '${one.password}'`);
      await admin.end();
    }
  });
  afterAll(async () => {
    await database?.close();
    await Promise.all([one?.stop(), two?.stop()]);
  });

  const open = async () => {
    await database?.close();
    const url = `postgres://postgres:${one.password}@127.0.0.1:${one.port},127.0.0.1:${two.port}/postgres`;
    database = await openDatabase({ url, directory: null, connections: 3 });
  };
  const readOnly = async (server: PostgresServer, is: boolean) => {
    const url = `postgres://postgres:${one.password}@127.0.0.1:${server.port}/postgres`;
    const admin = await openDatabase({ url, directory: null, connections: 1 });
    const sql = is ? 'set default_transaction_read_only = on' : 'reset default_transaction_read_only';
    await admin.query({ name: 'alter', text: `alter system ${sql}` }, []);
    await admin.query({ name: 'reload', text: 'select pg_reload_conf()' }, []);
    await admin.close();
  };
  /** Which server a write goes to: its port, or how it failed. */
  const written = () =>
    database
      .query<{ port: number }>(
        { name: 'written', text: "select inet_server_port() as port, nextval('written')" },
        [],
      )
      .then(
        ([row]) => row?.port,
        (error: { code: string }) => error.code,
      );

  test('the first that takes writes is used, and a statement that is wrong changes nothing', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await open();
    expect(await written()).toBe(one.port);
    await expect(database.query({ name: 'wrong', text: 'select nothing' }, [])).rejects.toThrow('nothing');
    expect(await written()).toBe(one.port);
  });

  test('a server that takes no writes is passed over', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await readOnly(one, true);
    await open();
    expect(await written()).toBe(two.port);
    expect(await Promise.all([written(), written(), written()])).toEqual([two.port, two.port, two.port]);
    await readOnly(one, false);
  });

  test('one that turns read-only under us fails one write, and the next goes to the other', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await open();
    // Three connections, of which one is to find out for all.
    expect(await Promise.all([written(), written(), written()])).toEqual(Array(3).fill(one.port));
    await readOnly(one, true);
    const answers: unknown[] = [];
    while (answers.at(-1) !== two.port) {
      answers.push(await written());
      if (answers.length > 200) throw new Error(`never: ${answers.slice(0, 5)}`);
    }
    expect(answers.filter((answer) => answer === 'store-unavailable').length).toBeLessThanOrEqual(1);
    await readOnly(one, false);
  });

  test('one that is killed is left for the other without a failed call, once no connection to it is open', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await open();
    await one.kill();
    expect(await written()).toBe(two.port);
    await two.kill();
    expect(await written()).toBe('store-unavailable');
    await Promise.all([one.restart(), two.restart()]);
    const ports = [one.port, two.port];
    expect(ports).toContain(await written());
  });
});
