import { expect, test } from 'vitest';
import { identifier, literal } from '../../../src/providers/postgres/sql.ts';
import { ROLE_TOKEN } from '../../../src/providers/postgres/statements.ts';
import { endingOf, expectNoSecret, failure, soon, termsOf } from '../../conformance/provider.ts';
import { logIn, onEveryServer, scope } from './world.ts';

onEveryServer(
  { log_statement: 'all', log_error_verbosity: 'verbose' },
  ({ version, admin, its, open, mintAs, roleExists }) => {
    test('mint: gives a plain login with its limits, settings and comment', async (ctx) => {
      const { root } = its(ctx);
      const { terms, session } = await mintAs(open(ctx, { connection_limit: 3 }), {
        roles: ['reader'],
        settings: {
          search_path: ['reporting "quoted"', 'public'],
          statement_timeout: '7s',
          default_transaction_read_only: true,
          work_mem: 4096,
        },
      });
      const { rows } = await root.query('SELECT * FROM pg_roles WHERE rolname = $1', [terms.name]);
      expect(rows[0]).toMatchObject({
        rolsuper: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        rolbypassrls: false,
        rolinherit: true,
        rolcanlogin: true,
        rolconnlimit: 3,
      });
      const shown = await session.query(`SELECT current_setting('search_path') AS path,
        current_setting('statement_timeout') AS timeout, current_setting('default_transaction_read_only') AS ro,
        current_setting('work_mem') AS mem`);
      expect(shown.rows[0]).toEqual({
        path: '"reporting ""quoted""", public',
        timeout: '7s',
        ro: 'on',
        mem: '4MB',
      });
      const comment = await root.query(`SELECT shobj_description($1, 'pg_authid') AS text`, [rows[0].oid]);
      expect(JSON.parse(comment.rows[0].text)).toEqual({
        hallpass: {
          lease: terms.leaseId,
          grant: 'nightly',
          task: 'orders',
          taskId: terms.context.taskId,
          issuer: 'https://issuer.example',
          subject: 'batch',
        },
      });
    });

    test('mint: runs statements in the database of the login, with its name for the token', async (ctx) => {
      const { root } = its(ctx);
      await root.query(`CREATE TABLE public.ledger (n int); INSERT INTO public.ledger VALUES (7);
        GRANT ALL ON public.ledger TO hallpass WITH GRANT OPTION`);
      const { session } = await mintAs(open(ctx), {
        statements: [`GRANT SELECT ON public.ledger TO ${ROLE_TOKEN};`],
      });
      expect((await session.query('SELECT n FROM ledger')).rows).toEqual([{ n: 7 }]);
      await expect(session.query('SELECT * FROM orders')).rejects.toThrow('permission denied');
      await root.query('DROP TABLE public.ledger');
    });

    test('mint: makes nothing when a statement fails, and the error holds no verifier and no password', async (ctx) => {
      const target = open(ctx);
      const terms = termsOf();
      const bad = scope({
        roles: ['reader'],
        statements: [`GRANT SELECT ON public.missing TO ${ROLE_TOKEN}`],
      });
      const error = await failure(target.mint(bad, terms, soon()));
      expect(error).toMatchObject({ code: 'target-refused', vendorCode: '42P01' });
      expect(error.message).toContain('public.missing');
      expect(await roleExists(ctx, terms.name)).toBe(false);
      expect(`${error.stack} ${JSON.stringify(error)} ${JSON.stringify(error.cause)}`).not.toMatch(/SCRAM/);
    });

    test('mint: sends no password: the log of the target holds the verifier at most', async (ctx) => {
      const { minted } = await mintAs(open(ctx));
      const log = await its(ctx).server.log();
      expect(log).toContain('SCRAM-SHA-256$4096:');
      expect(log).toContain(minted.secret.values.username);
      expect(log).not.toContain(minted.secret.values.password);
      expectNoSecret(minted, log.slice(-1_000_000));
    });

    test('mint: is refused a role that a parameter chose and no grant may name', async (ctx) => {
      for (const wanted of [
        { roles: ['pg_write_server_files'] },
        { roles: [its(ctx).settings(admin).username] },
        { roles: ['reader'], settings: { session_preload_libraries: 'x' } },
        { statements: [`GRANT "pg_execute_server_program" TO ${ROLE_TOKEN}`] },
        { statements: [`ALTER ROLE ${ROLE_TOKEN} SUPERUSER`] },
      ]) {
        const terms = termsOf();
        const error = await failure(open(ctx).mint(scope(wanted), terms, soon()));
        expect(error).toMatchObject({ code: 'target-refused' });
        expect(await roleExists(ctx, terms.name)).toBe(false);
      }
    });

    test('mint: is refused when the clock of the target lags behind', async (ctx) => {
      const now = Date.now() + 5_000;
      const terms = { ...termsOf(), now, mintBefore: now + 30_000, expiresAt: now + 60_000 };
      const error = await failure(open(ctx).mint(scope({ roles: ['reader'] }), terms, soon()));
      expect(error).toMatchObject({ code: 'target-refused', vendorCode: 'HP002' });
      expect(error.message).toContain('lags behind');
      expect(await roleExists(ctx, terms.name)).toBe(false);
    });

    test('mint: grants roles with hostile names, as names', async (ctx) => {
      const { root } = its(ctx);
      const names = ['we"ird; DROP ROLE reader; --', "O'Brien \\ $$", 'Größe 🗝️', 'x'.repeat(63)];
      for (const name of names) {
        await root.query(`CREATE ROLE ${identifier(name)}`);
        if (version !== '15') await root.query(`GRANT ${identifier(name)} TO hallpass WITH ADMIN OPTION`);
      }
      const { session, terms, minted } = await mintAs(open(ctx), { roles: names });
      const { rows } = await session.query(`SELECT rolname FROM pg_roles
        WHERE pg_has_role(oid, 'USAGE') AND rolname <> current_user ORDER BY 1`);
      expect(rows.map((row) => row.rolname).sort()).toEqual([...names].sort());
      await open(ctx).end(endingOf(terms, minted.handle), soon());
      for (const name of names) await root.query(`DROP ROLE ${identifier(name)}`);
    });

    test('mint: a parameter in a statement is a name or a text, whatever it holds', async (ctx) => {
      const { root } = its(ctx);
      const hostile = `orders" TO PUBLIC; ALTER ROLE reader SUPERUSER; --'; $$ \\`;
      await root.query(`CREATE TABLE public.${identifier(hostile)} (note text);
        GRANT ALL ON public.${identifier(hostile)} TO hallpass WITH GRANT OPTION`);
      const { session } = await mintAs(open(ctx), {
        statements: [
          `GRANT ALL ON public.${identifier(hostile)} TO ${ROLE_TOKEN}`,
          `INSERT INTO public.${identifier(hostile)} VALUES (${literal(hostile)})`,
        ],
      });
      const { rows } = await session.query(`SELECT note FROM public.${identifier(hostile)}`);
      expect(rows).toEqual([{ note: hostile }]);
      const { rows: reader } = await root.query(`SELECT rolsuper FROM pg_roles WHERE rolname = 'reader'`);
      expect(reader[0].rolsuper).toBe(false);
      await root.query(`DROP TABLE public.${identifier(hostile)}`);
    });

    test('extend: VALID UNTIL refuses the login once it has passed', async (ctx) => {
      const target = open(ctx);
      const { terms, minted } = await mintAs(target);
      await target.extend?.(endingOf(terms, minted.handle), Date.now() - 1, soon());
      await expect(logIn(minted.secret)).rejects.toThrow('password authentication failed');
      await target.extend?.(endingOf(terms, minted.handle), Date.now() + 60_000, soon());
      await (await logIn(minted.secret)).end();
    });
  },
);
