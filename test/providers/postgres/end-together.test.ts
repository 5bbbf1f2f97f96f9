import { expect, type TestContext, test } from 'vitest';
import type { PostgresScope } from '../../../src/providers/postgres/settings.ts';
import type { EndableTarget, Ending } from '../../../src/providers/provider.ts';
import { endingOf, failure, soon, termsOf } from '../../conformance/provider.ts';
import { isAlive, onEveryServer, scope } from './world.ts';

/** More than fit into the groups that are ended at a time, one by one. */
const MANY = 40;

onEveryServer({}, ({ admin, its, open, mintAs }) => {
  function mintMany(target: EndableTarget<PostgresScope>, count = MANY): Promise<Ending[]> {
    return Promise.all(
      Array.from({ length: count }, async () => {
        const terms = termsOf();
        return endingOf(terms, (await target.mint(scope({ roles: ['reader'] }), terms, soon())).handle);
      }),
    );
  }

  async function left(ctx: TestContext, endings: readonly Ending[]): Promise<string[]> {
    const names = endings.map(({ name }) => name);
    const { rows } = await its(ctx).root.query(
      'SELECT rolname::text AS name FROM pg_authid WHERE rolname = ANY($1)',
      [names],
    );
    return rows.map(({ name }) => name);
  }

  const cheap = { scram_iterations: 1 };

  test('end: many at once share transactions, and each is told that it is gone', async (ctx) => {
    const { root } = its(ctx);
    const target = open(ctx, cheap);
    const endings = await mintMany(target);
    const transactions = async () => Number((await root.query('SELECT txid_current() AS id')).rows[0].id);
    const before = await transactions();
    const ended = await Promise.all(endings.map((ending) => target.end(ending, soon())));
    // Alone, each takes one to be barred and one to be dropped.
    expect((await transactions()) - before).toBeLessThan(MANY);
    const evidence = { login: 'dropped', sessions_terminated: 0, sessions_left: 0 };
    for (const one of ended) expect(one).toMatchObject({ found: true, evidence });
    expect(await left(ctx, endings)).toEqual([]);
  });

  test('end: among many, sessions are cut before anybody is told that they are', async (ctx) => {
    const target = open(ctx, cheap);
    const used = await Promise.all([mintAs(target), mintAs(target)]);
    const endings = await mintMany(target);
    endings.splice(10, 0, ...used.map(({ terms, minted }) => endingOf(terms, minted.handle)));
    const ended = await Promise.all(
      endings.map(async (ending) => {
        const { evidence } = await target.end(ending, soon());
        const session = used.find(({ terms }) => terms.name === ending.name)?.session;
        if (session) expect(await isAlive(session)).toBe(false);
        return evidence;
      }),
    );
    const cut = ended.filter((evidence) => JSON.stringify(evidence).includes('"sessions_terminated":1'));
    expect(cut).toHaveLength(used.length);
    expect(await left(ctx, endings)).toEqual([]);
  });

  test('end: among many, those with sessions or objects, those that are gone and those without a handle are seen to', async (ctx) => {
    const { root } = its(ctx);
    await root.query('GRANT CREATE ON SCHEMA public TO reader');
    const target = open(ctx, cheap);
    const used = await mintAs(target);
    await used.session.query('CREATE TABLE public.of_many (id int)');
    const [absent, unanswered, ...bare] = (await mintMany(target)) as [Ending, Ending, ...Ending[]];
    await root.query(`DROP ROLE ${absent.name}`);
    const owner = endingOf(used.terms, used.minted.handle);
    const odd = [owner, absent, { ...unanswered, handle: null }];
    const endings = [...bare.slice(0, 20), ...odd, ...bare.slice(20)];
    const ended = await Promise.all(endings.map((ending) => target.end(ending, soon())));
    const of = (name: string) => ended[endings.findIndex((ending) => ending.name === name)];
    expect(of(owner.name)).toMatchObject({ found: true, evidence: { sessions_terminated: 1 } });
    expect(of(owner.name)?.sessions).toHaveLength(1);
    expect(of(absent.name)).toMatchObject({ found: false, evidence: { login: 'absent' } });
    expect(of(unanswered.name)).toMatchObject({ found: true });
    for (const { name } of bare) expect(of(name)).toMatchObject({ found: true });
    expect(await isAlive(used.session)).toBe(false);
    expect(await left(ctx, endings)).toEqual([]);
    expect((await root.query(`SELECT FROM pg_class WHERE relname = 'of_many'`)).rowCount).toBe(0);
    await root.query('REVOKE CREATE ON SCHEMA public FROM reader');
  });

  test('end: one that has to wait for a lock keeps none of the others, and the abort of one ends none of them', async (ctx) => {
    const { server } = its(ctx);
    const lockTimeoutMs = 20_000;
    const target = open(ctx, { ...cheap, pool: { lock_timeout_seconds: lockTimeoutMs / 1000 } });
    const endings = await mintMany(target);
    const [held, given, ...others] = endings as [Ending, Ending, ...Ending[]];
    const holder = await server.connect();
    await holder.query(`BEGIN; COMMENT ON ROLE ${held.name} IS 'held'`);
    let heldEnded = false;
    const heldEnd = target.end(held, soon()).then(() => (heldEnded = true));
    const begun = performance.now();
    const giveUp = new AbortController();
    const givenUp = failure(target.end(given, giveUp.signal));
    const rest = others.map((ending) => target.end(ending, soon()));
    giveUp.abort();
    expect(await givenUp).toMatchObject({ code: 'target-timeout' });
    await Promise.all(rest);
    expect(performance.now() - begun).toBeLessThan(lockTimeoutMs / 2);
    expect(heldEnded).toBe(false);
    await holder.query('ROLLBACK');
    await heldEnd;
    // It may have ended before it was given up; whoever gave it up ends it again.
    await target.end(given, soon());
    expect(await left(ctx, endings)).toEqual([]);
    await holder.end();
  });

  test.for([0, 1, 2, 3])(
    'end: cut after %d replies, none is said to be gone that is there',
    async (replies, ctx) => {
      const { proxy } = its(ctx);
      const target = open(ctx, { ...cheap, host: proxy.host, port: proxy.port });
      const endings = await mintMany(target);
      proxy.set({ kind: 'cut', replies });
      const outcomes = await Promise.allSettled(endings.map((ending) => target.end(ending, soon())));
      proxy.set({ kind: 'fair' });
      const there = new Set(await left(ctx, endings));
      for (const [place, { status }] of outcomes.entries())
        if (status === 'fulfilled') expect(there).not.toContain(endings[place]?.name);
      await Promise.all(endings.map((ending) => target.end(ending, soon())));
      expect(await left(ctx, endings)).toEqual([]);
    },
  );

  // A superuser may drop every role.
  if (admin !== 'superuser')
    test('end: one that the broker may not drop does not keep the others', async (ctx) => {
      const { root } = its(ctx);
      const target = open(ctx, cheap);
      const endings = await mintMany(target, 12);
      await root.query('CREATE ROLE hp_cnf0_of_another LOGIN');
      const { rows } = await root.query(
        `SELECT oid::text FROM pg_authid WHERE rolname = 'hp_cnf0_of_another'`,
      );
      await root.query('ALTER ROLE hp_cnf0_of_another SUPERUSER');
      const foreign = {
        ...(endings[0] as Ending),
        name: 'hp_cnf0_of_another',
        handle: { oid: rows[0].oid, owned_objects: 'drop' },
      };
      const refused = failure(target.end(foreign, soon()));
      await Promise.all(endings.map((ending) => target.end(ending, soon())));
      expect(await refused).toMatchObject({ code: 'target-forbidden' });
      expect(await left(ctx, [...endings, foreign])).toEqual([foreign.name]);
      await root.query('DROP ROLE hp_cnf0_of_another');
    });
});
