import { expect, onTestFinished, test } from 'vitest';
import { provider } from '../../../src/providers/postgres/provider.ts';
import type { PostgresScope } from '../../../src/providers/postgres/settings.ts';
import { identifier } from '../../../src/providers/postgres/sql.ts';
import { ROLE_TOKEN } from '../../../src/providers/postgres/statements.ts';
import type { EndableTarget } from '../../../src/providers/provider.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { endingOf, failure, soon, termsOf } from '../../conformance/provider.ts';
import { isAlive, logIn, onEveryServer, scope, startWarehouse } from './world.ts';

onEveryServer({ max_prepared_transactions: '5' }, ({ version, admin, its, open, mintAs, roleExists }) => {
  test('end: drops what it owns, wherever it is, and takes back what it was given', async (ctx) => {
    const { root, server } = its(ctx);
    const target = open(ctx);
    await root.query('CREATE DATABASE elsewhere');
    await root.query('GRANT CREATE ON SCHEMA public TO reader; GRANT CREATE ON DATABASE warehouse TO reader');
    const elsewhere = await server.connect('elsewhere');
    await elsewhere.query('GRANT CREATE ON SCHEMA public TO reader');
    const { terms, minted, session } = await mintAs(target);
    await session.query(`
      CREATE TABLE public.owned (id serial PRIMARY KEY);
      CREATE SCHEMA "private ""things""";
      CREATE FUNCTION public.owned_function() RETURNS int LANGUAGE sql AS 'SELECT 1';
      CREATE TYPE public.owned_type AS ENUM ('a');
      CREATE TEMP TABLE passing (id int);
      GRANT SELECT ON public.owned TO PUBLIC;
      ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;
      SELECT lo_create(0)`);
    const there = await logIn({
      ...minted.secret,
      values: { ...minted.secret.values, database: 'elsewhere' },
    });
    await there.query('CREATE TABLE public.owned (id int)');
    // Only a superuser can take back what an owner has given by hand.
    const byHand = `GRANT CREATE ON DATABASE elsewhere TO ${terms.name}; GRANT UPDATE ON orders TO ${terms.name}`;
    if (admin === 'superuser') await root.query(byHand);
    const { evidence } = await target.end(endingOf(terms, minted.handle), soon());
    expect(evidence).toMatchObject({ login: 'dropped', sessions_terminated: 2, sessions_left: 0 });
    expect(evidence).toMatchObject({ databases_cleaned: expect.arrayContaining(['warehouse', 'elsewhere']) });
    expect(await roleExists(ctx, terms.name)).toBe(false);
    for (const client of [root, elsewhere]) {
      expect((await client.query(`SELECT FROM pg_class WHERE relname = 'owned'`)).rowCount).toBe(0);
      expect((await client.query('SELECT FROM pg_largeobject_metadata')).rowCount).toBe(0);
    }
    await there.end().catch(() => {});
    await elsewhere.end();
    await root.query('DROP DATABASE elsewhere WITH (FORCE)');
    await root.query(
      'REVOKE CREATE ON SCHEMA public FROM reader; REVOKE CREATE ON DATABASE warehouse FROM reader',
    );
  });

  test('end: that there is none at another address than it was made at does not make it gone', async (ctx) => {
    const { proxy } = its(ctx);
    const [target, moved] = [open(ctx), open(ctx, { port: proxy.port })];
    const { terms, minted } = await mintAs(target);
    const ending = endingOf(terms, minted.handle);
    // Where it is found it is the one, whatever the server is called by now.
    expect(await moved.end(ending, soon())).toMatchObject({ found: true });
    expect(await target.end(ending, soon())).not.toHaveProperty('lapsesAt');
    expect(await failure(moved.end(ending, soon()))).toMatchObject({
      code: 'target-refused',
      message: expect.stringContaining(`${proxy.port}`),
    });
    const lapsed = { ...ending, expiresAt: Date.now() - 1 };
    expect(await moved.end(lapsed, soon())).toMatchObject({ found: false, lapsesAt: lapsed.expiresAt });
  });

  test('end: cuts a session that has set another role, and one that is busy', async (ctx) => {
    const target = open(ctx);
    const { terms, minted, session } = await mintAs(target);
    const idle = await logIn(minted.secret);
    await session.query('SET ROLE reader');
    const busy = session.query('SELECT pg_sleep(60)').catch((error: Error) => error.message);
    const { evidence } = await target.end(endingOf(terms, minted.handle), soon());
    expect(evidence).toMatchObject({ sessions_terminated: 2 });
    expect(await busy).toMatch(/terminat/);
    expect(await isAlive(idle)).toBe(false);
    await idle.end().catch(() => {});
  });

  test('end: no login slips in while it ends', async (ctx) => {
    const { root } = its(ctx);
    const target = open(ctx);
    for (let round = 0; round < 5; round++) {
      const { terms, minted, session } = await mintAs(target, { roles: ['reader'], connection_limit: 50 });
      const { rows } = await session.query('SELECT current_user::regrole::oid::text AS oid');
      let going = true;
      const inside = [session];
      const knocking = Array.from({ length: 8 }, async () => {
        while (going) {
          await logIn(minted.secret).then(
            (client) => inside.push(client),
            () => {},
          );
          if (inside.length > 40)
            await inside
              .splice(1, 20)
              .reduce((before, one) => before.then(() => one.end()), Promise.resolve());
        }
      });
      await target.end(endingOf(terms, minted.handle), soon());
      going = false;
      await Promise.all(knocking);
      expect(await Promise.all(inside.map(isAlive))).not.toContain(true);
      const left = await root.query('SELECT FROM pg_stat_activity WHERE usesysid = $1::oid', [rows[0].oid]);
      expect(left.rowCount).toBe(0);
      await Promise.all(inside.map((client) => client.end().catch(() => {})));
    }
  });

  test('end: cuts a login that waits between the check of its password and its session', async (ctx) => {
    const { root } = its(ctx);
    const target = open(ctx);
    const { terms, minted } = await mintAs(target);
    const lurking = logIn(minted.secret, { options: '-c post_auth_delay=3' }).then(
      async (client) => {
        const alive = await isAlive(client);
        await client.end().catch(() => {});
        return alive;
      },
      () => false,
    );
    const other = await target.mint(scope({ roles: ['reader'] }), termsOf(), soon());
    const bystanding = logIn(other.secret, { options: '-c post_auth_delay=1' }).then(
      async (client) => {
        const alive = await isAlive(client);
        await client.end().catch(() => {});
        return alive;
      },
      () => false,
    );
    const starting = `SELECT FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass`;
    while ((await root.query(starting)).rowCount !== 2);
    const { evidence } = await target.end(endingOf(terms, minted.handle), soon());
    expect(evidence).toMatchObject({ sessions_terminated: 2 });
    expect(await lurking).toBe(false);
    expect(await bystanding).toBe(true);
  });

  test('end: reassigns what it owns to the role that the target names, and drops nothing', async (ctx) => {
    const { root } = its(ctx);
    await root.query('CREATE ROLE heir NOLOGIN; GRANT CREATE ON SCHEMA public TO reader, heir');
    const admins = version === '15' ? 'hallpass' : 'hallpass WITH INHERIT TRUE';
    await root.query(`GRANT heir TO ${admins}`);
    const target = open(ctx, { owned_objects: { reassign_to: 'heir' } });
    const { terms, minted, session } = await mintAs(target);
    await session.query('CREATE TABLE public.result AS SELECT 42 AS answer');
    await target.end(endingOf(terms, minted.handle), soon());
    const { rows } = await root.query(
      `SELECT tableowner, answer FROM pg_tables, result WHERE tablename = 'result'`,
    );
    expect(rows).toEqual([{ tableowner: 'heir', answer: 42 }]);
    expect(await target.selfTest(soon())).toMatchObject({ ok: true });
    expect((await root.query('SELECT FROM pg_largeobject_metadata')).rowCount).toBe(0);
    await root.query(
      'DROP TABLE result; DROP OWNED BY heir; DROP ROLE heir; REVOKE CREATE ON SCHEMA public FROM reader',
    );
  });

  test('end: the settings of the day it was minted decide what becomes of its objects', async (ctx) => {
    const { root } = its(ctx);
    await root.query('GRANT CREATE ON SCHEMA public TO reader');
    const { terms, minted, session } = await mintAs(open(ctx));
    await session.query('CREATE TABLE public.result (id int)');
    const changed = open(ctx, { owned_objects: { reassign_to: 'nobody much' } });
    await changed.end(endingOf(terms, minted.handle), soon());
    expect((await root.query(`SELECT FROM pg_class WHERE relname = 'result'`)).rowCount).toBe(0);
    await root.query('REVOKE CREATE ON SCHEMA public FROM reader');
  });

  test('end: when others have built on what it owns, access is gone and the rest waits for them', async (ctx) => {
    const { root } = its(ctx);
    await root.query('GRANT CREATE ON SCHEMA public TO reader');
    const target = open(ctx);
    const { terms, minted, session } = await mintAs(target);
    await session.query('CREATE TABLE public.base (id int)');
    await root.query('CREATE VIEW public.built AS SELECT * FROM public.base');
    const error = await failure(target.end(endingOf(terms, minted.handle), soon()));
    expect(error).toMatchObject({ code: 'target-refused', vendorCode: '2BP01' });
    expect(await isAlive(session)).toBe(false);
    await expect(logIn(minted.secret)).rejects.toThrow('not permitted to log in');
    await root.query('DROP VIEW public.built');
    expect(await target.end(endingOf(terms, minted.handle), soon())).toMatchObject({ found: true });

    const cascading = open(ctx, { owned_objects: 'drop_cascade' });
    const second = await mintAs(cascading);
    await second.session.query('CREATE TABLE public.base (id int)');
    await root.query('CREATE VIEW public.built AS SELECT * FROM public.base');
    await cascading.end(endingOf(second.terms, second.minted.handle), soon());
    expect((await root.query(`SELECT FROM pg_class WHERE relname IN ('base', 'built')`)).rowCount).toBe(0);
    await root.query('REVOKE CREATE ON SCHEMA public FROM reader');
  });

  // A superuser can take back everything.
  if (admin !== 'superuser')
    test('end: what the broker cannot take back is named, not passed over', async (ctx) => {
      const { root } = its(ctx);
      const target = open(ctx);
      const { terms, minted } = await mintAs(target);
      await root.query(`CREATE DATABASE mine OWNER ${terms.name}`);
      const error = await failure(target.end(endingOf(terms, minted.handle), soon()));
      expect(error.message).toContain('still owns or holds');
      expect(await roleExists(ctx, terms.name)).toBe(true);
      await root.query('DROP DATABASE mine');
      await target.end(endingOf(terms, minted.handle), soon());
      expect(await roleExists(ctx, terms.name)).toBe(false);
    });

  test('end: rolls back a prepared transaction', async (ctx) => {
    const { root } = its(ctx);
    await root.query('GRANT CREATE ON SCHEMA public TO reader');
    const target = open(ctx);
    const { terms, minted, session } = await mintAs(target);
    await session.query(
      `BEGIN; CREATE TABLE public.pending (id int); LOCK TABLE orders IN ACCESS SHARE MODE`,
    );
    await session.query(`PREPARE TRANSACTION 'it''s \\ pending'`);
    const { evidence } = await target.end(endingOf(terms, minted.handle), soon());
    expect(evidence).toMatchObject({ prepared_transactions_rolled_back: 1 });
    expect((await root.query('SELECT FROM pg_prepared_xacts')).rowCount).toBe(0);
    expect(await roleExists(ctx, terms.name)).toBe(false);
    await root.query('REVOKE CREATE ON SCHEMA public FROM reader');
  });

  test('end: a role that was dropped by hand leaves sessions, and they are seen', async (ctx) => {
    const { root } = its(ctx);
    const target = open(ctx);
    const { terms, minted, session } = await mintAs(target);
    await root.query(`DROP ROLE ${terms.name}`);
    expect(await isAlive(session)).toBe(true);
    if (admin === 'superuser') {
      expect(await target.end(endingOf(terms, minted.handle), soon())).toMatchObject({ found: true });
    } else {
      // Without the role there is nothing to be a member of: it takes pg_signal_backend.
      const error = await failure(target.end(endingOf(terms, minted.handle), soon()));
      expect(error).toMatchObject({ code: 'target-forbidden' });
      await root.query('GRANT pg_signal_backend TO hallpass');
      await target.end(endingOf(terms, minted.handle), soon());
      await root.query('REVOKE pg_signal_backend FROM hallpass');
    }
    expect(await isAlive(session)).toBe(false);
  });

  // Who cuts a session of a role that is gone must be a superuser, as whoever let it in.
  if (admin === 'superuser') {
    test('end: sessions of the role in its handle are cut, though another has its name by now', async (ctx) => {
      const { root } = its(ctx);
      const target = open(ctx);
      const { terms, minted, session } = await mintAs(target);
      await root.query(`DROP ROLE ${terms.name}; CREATE ROLE ${terms.name} LOGIN`);
      expect(await target.end(endingOf(terms, minted.handle), soon())).toMatchObject({ found: true });
      expect(await isAlive(session)).toBe(false);
      expect(await roleExists(ctx, terms.name)).toBe(false);
    });

    test('end: a session that was let in while the login was dropped is cut, whether a handle names it or not', async (ctx) => {
      const { root, server } = its(ctx);
      const target = open(ctx);
      const { terms, minted } = await mintAs(target);
      const other = await server.connect();
      await other.query(`BEGIN; COMMENT ON ROLE ${terms.name} IS 'holds up whoever drops it'`);
      const ending = target.end(endingOf(terms, null), soon());
      await expect
        .poll(() => root.query('SELECT FROM pg_locks WHERE NOT granted').then(({ rowCount }) => rowCount))
        .toBe(1);
      await root.query(`ALTER ROLE ${terms.name} LOGIN`);
      const letIn = await logIn(minted.secret);
      await other.query('ROLLBACK');
      await other.end();
      expect(await ending).toMatchObject({ found: true, evidence: { sessions_left: 0 } });
      expect(await isAlive(letIn)).toBe(false);
      expect(await roleExists(ctx, terms.name)).toBe(false);
    });
  }

  test.for(['COMMIT', 'ROLLBACK'])('end: waits for a mint that is in flight: %s', async (outcome, ctx) => {
    const { settings } = its(ctx);
    const { username, password } = settings(admin);
    const terms = termsOf();
    const values = { host: '127.0.0.1', port: String(settings(admin).port), database: 'warehouse' };
    const minter = await logIn({
      type: 'postgres',
      values: { ...values, username, password: password ?? '' },
    });
    await minter.query(`BEGIN; CREATE ROLE ${terms.name} LOGIN`);
    const target = open(ctx);
    let settled = false;
    const ending = target.end(endingOf(terms, null), soon()).finally(() => {
      settled = true;
    });
    // Other work goes on: the wait is for that transaction alone.
    for (let turn = 0; turn < 5; turn++) {
      const other = termsOf();
      const { handle } = await target.mint(scope({ roles: ['reader'] }), other, soon());
      await target.end(endingOf(other, handle), soon());
    }
    expect(settled).toBe(false);
    await minter.query(outcome);
    expect(await ending).toMatchObject({ found: outcome === 'COMMIT' });
    expect(await roleExists(ctx, terms.name)).toBe(false);
    await minter.end();
  });

  test('end: a thousand leases leave nothing behind', async (ctx) => {
    const { root } = its(ctx);
    const residue = async () => {
      const { rows } = await root.query(`SELECT
        (SELECT count(*) FROM pg_authid) AS roles, (SELECT count(*) FROM pg_auth_members) AS memberships,
        (SELECT count(*) FROM pg_shdepend) AS dependencies, (SELECT count(*) FROM pg_shdescription) AS comments,
        (SELECT count(*) FROM pg_db_role_setting) AS settings, (SELECT count(*) FROM pg_default_acl) AS defaults,
        (SELECT relacl::text FROM pg_class WHERE relname = 'orders') AS acl`);
      return rows[0];
    };
    // To the grantor's own privilege, not the owner's: what a statement gives must be taken back.
    await root.query('GRANT UPDATE ON orders TO hallpass WITH GRANT OPTION');
    const before = await residue();
    const target = open(ctx, { scram_iterations: 1 });
    const wanted = scope({
      roles: ['reader'],
      settings: { statement_timeout: '10s' },
      statements: [`GRANT UPDATE ON public.orders TO ${ROLE_TOKEN}`],
    });
    let left = 1_000;
    const worker = async () => {
      while (left-- > 0) {
        const terms = termsOf();
        const { handle } = await target.mint(wanted, terms, soon());
        await target.end(endingOf(terms, left % 2 ? handle : null), soon());
      }
    };
    await Promise.all(Array.from({ length: 6 }, worker));
    expect(await residue()).toEqual(before);
  }, 120_000);

  test('end: knows the names of its databases, whatever they are', async (ctx) => {
    const { root } = its(ctx);
    const name = `we"ird, {db} 🗝️`;
    await root.query(`CREATE DATABASE ${identifier(name)}`);
    const target = open(ctx);
    const { terms, minted, session } = await mintAs(target, { roles: ['reader'], database: name });
    expect((await session.query('SELECT current_database() AS name')).rows).toEqual([{ name }]);
    await session.query('SELECT lo_create(0)');
    const { evidence } = await target.end(endingOf(terms, minted.handle), soon());
    expect(evidence).toMatchObject({ databases_cleaned: [name] });
  });
});

test('end: what is said to be gone stays gone when a server that flushes lazily crashes', async (ctx) => {
  const warehouse = await startWarehouse('18', { synchronous_commit: 'off', wal_writer_delay: '10s' });
  if ('unavailable' in warehouse) return ctx.skip(warehouse.unavailable);
  onTestFinished(warehouse.stop);
  const { server, root } = warehouse;
  root.on('error', () => {});
  const target = provider.open(warehouse.settings('superuser'), {
    runtime: systemRuntime,
    target: 'warehouse',
    mark: 'hp_cnf0_',
  }) as EndableTarget<PostgresScope>;
  const [alone, together] = [termsOf(), termsOf()];
  await target.mint(scope({ roles: ['reader'] }), alone, soon());
  const { handle } = await target.mint(scope({ roles: ['reader'] }), together, soon());
  await root.query('CHECKPOINT');
  await target.end(endingOf(alone, null), soon());
  await target.end(endingOf(together, handle), soon());
  await server.kill();
  await target.close();
  await server.restart();
  const after = await server.connect();
  const { rows } = await after.query(`SELECT rolname FROM pg_roles WHERE rolname LIKE 'hp\\_cnf0\\_%'`);
  await after.end();
  expect(rows).toEqual([]);
});
