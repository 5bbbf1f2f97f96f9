import type pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { provider } from '../../../src/providers/postgres/provider.ts';
import type { Sighting } from '../../../src/providers/provider.ts';
import { createObserver } from '../../../src/reaper/observe.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { endingOf, soon, termsOf } from '../../conformance/provider.ts';
import type { MemorySettings, MemoryWorld } from '../../fakes/provider.ts';
import { asking, createTestBroker, value, WORKLOAD } from '../../support/broker.ts';
import { anyStore } from '../../support/stores.ts';
import { logIn, onEveryServer, scope } from './world.ts';

const store = await anyStore();
afterAll(() => store.stop());

/** How the server itself sees a session, which its role may always see. */
async function startOf(session: pg.Client): Promise<number> {
  const { rows } = await session.query(
    'SELECT (extract(epoch FROM backend_start) * 1000)::bigint::text AS at FROM pg_stat_activity WHERE pid = pg_backend_pid()',
  );
  return Number(rows[0].at);
}

onEveryServer({}, ({ version, admin, its, open, mintAs }) => {
  test('observe: shows open sessions of our logins, by address and application, and no others', async (ctx) => {
    const { root } = its(ctx);
    const target = open(ctx);
    const { terms, minted, session } = await mintAs(target);
    await session.query("SET application_name TO 'psql'");
    const second = await logIn(minted.secret, { application_name: 'dbt' });
    const unused = termsOf();
    await target.mint(scope({ roles: ['reader'] }), unused, soon());
    // Since 16 whoever makes a role is a member of it, and does not have its rights.
    const isHidden = admin === 'least';
    const seen: Sighting[] = [];
    for (const [client, application] of [
      [session, 'psql'],
      [second, 'dbt'],
    ] as const)
      seen.push({ address: '127.0.0.1', application, since: await startOf(client) });
    // It is of the login, whatever role it has set.
    await second.query('SET ROLE reader');
    const { sessions, complete } = await target.observe!(soon());
    expect(complete).toBe(true);
    const hidden = isHidden ? { address: null, since: null } : {};
    expect(sessions.filter(({ name }) => name === terms.name)).toEqual(
      expect.arrayContaining(seen.map((one) => ({ name: terms.name, ...one, ...hidden }))),
    );
    expect(sessions.every(({ name }) => name.startsWith('hp_cnf0_') && name !== unused.name)).toBe(true);
    expect((await root.query('SELECT FROM pg_stat_activity')).rowCount).toBeGreaterThan(sessions.length);
    const { sessions: last } = await target.end(endingOf(terms, minted.handle), soon());
    // To cut them it takes the rights of the login, which may see its own.
    expect(last).toHaveLength(2);
    expect(last).toEqual(expect.arrayContaining(seen));
    expect((await target.end(endingOf(unused, null), soon())).sessions).toEqual([]);
    expect((await target.observe!(soon())).sessions).toEqual([]);
    await second.end().catch(() => {});
  });

  test('observe: a broker tells of each lease whether it was seen in use', async (ctx) => {
    const database = await store.open();
    const warehouse = { provider } as unknown as MemoryWorld;
    const { broker, verbs, events } = await createTestBroker({
      database,
      runtime: systemRuntime,
      worlds: { warehouse },
      settings: its(ctx).settings(admin) as unknown as MemorySettings,
      grants: {
        report: {
          who: [{ issuer: 'ci', claims: { repository_id: '42' } }],
          tasks: ['nightly'],
          credentials: {
            db: {
              target: 'warehouse',
              ttl: { default: '15m', max: '1h', cap: '1h' },
              scope: { roles: ['reader'] },
            },
          },
        },
      },
    });
    const live = broker.targets.get('warehouse')!;
    const { look } = createObserver(broker, live)!;
    await look(soon());
    const opened = [];
    for (let n = 0; n < 3; n++) opened.push(value(await verbs.openTask(WORKLOAD, asking())));
    const [seen, ending] = await Promise.all(
      opened
        .slice(0, 2)
        .map(({ credentials }) => logIn(credentials[0]!.secret!, { application_name: 'dbt' })),
    );
    await ending!.query('SELECT 1');
    expect(await look(soon())).toBe(2);
    // The first has closed its session long before its end.
    await seen!.end();
    for (const { token, task } of opened) {
      const holder = value(await verbs.identify({ kind: 'bearer', token: token! }, 'test'));
      value(await verbs.completeTask(holder, task.id, 0));
    }
    const ends = (await events()).flatMap((event) =>
      event.kind === 'lease.ended' ? [[event.about.task, event.data.outcome, event.data.use?.verdict]] : [],
    );
    expect(ends).toEqual([
      [opened[0]!.task.id, 'revoked', 'used'],
      [opened[1]!.task.id, 'revoked', 'used'],
      [opened[2]!.task.id, 'revoked', 'not-seen'],
    ]);
    await live.target.close();
    await ending!.end().catch(() => {});
    await database.close();
  });

  if (admin === 'least')
    test('observe: shows addresses to a broker that may read all statistics', async (ctx) => {
      const { root } = its(ctx);
      await root.query('GRANT pg_read_all_stats TO hallpass');
      const target = open(ctx);
      const { terms, minted, session } = await mintAs(target);
      const since = await startOf(session);
      const { sessions } = await target.observe!(soon());
      expect(sessions).toEqual([{ name: terms.name, address: '127.0.0.1', application: '', since }]);
      const { sessions: last } = await target.end(endingOf(terms, minted.handle), soon());
      expect(last).toEqual([{ address: '127.0.0.1', application: '', since }]);
      await root.query('REVOKE pg_read_all_stats FROM hallpass');
      expect(version).toMatch(/^1[58]$/);
    });
});
