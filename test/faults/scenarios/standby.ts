import { setTimeout as delay } from 'node:timers/promises';
import { availablePostgres, type PostgresServer } from '../../support/postgres.ts';
import { type Scenario, untilSo } from '../scenario.ts';

/**
 * The primary dies under load, and its synchronous standby is promoted; the dead one comes back as its standby, and at
 * the next failure takes over again. The brokers know both, and find the one that takes writes.
 */
export const failover: Scenario = {
  name: 'store-failover',
  async missing() {
    const { 15: debian } = await availablePostgres();
    return debian.ok ? null : `${debian.reason}, for pg_basebackup`;
  },
  prepare: async () => ({ replicas: 2, standby: true }),
  async round({ world, crowd, number, random, say, took, leftMs }) {
    const { store, standby } = world;
    if (standby === null) throw new Error('there is no standby');
    const [primary, next] = number % 2 === 0 ? [store, standby] : [standby, store];
    await followSynchronously(primary);
    await crowd.nextOpened();
    await delay(random.below(2_000));
    say('the primary is killed');
    await primary.kill();
    const admin = await next.connect();
    const began = performance.now();
    await admin.query('select pg_promote()');
    await admin.end();
    took('failover: the standby is promoted', performance.now() - began);
    took('failover: next task opened', await crowd.nextOpened());
    took('failover: from the death of the primary to the next task', performance.now() - began);
    await world.promoted(next);
    await Promise.all(world.replicas.map((replica) => replica.ready()));
    if (leftMs() <= 0) return;
    const rebuilding = performance.now();
    await primary.follow(next);
    took('failover: the old primary is rebuilt as a standby', performance.now() - rebuilding);
  },
};

/** From here on a commit is acknowledged when the standby has it. */
async function followSynchronously(store: PostgresServer): Promise<void> {
  const admin = await store.connect();
  await admin.query('alter system set synchronous_standby_names = standby');
  await admin.query('select pg_reload_conf()');
  const isSynchronous = async () => {
    const { rows } = await admin.query<{ state: string }>(
      'select sync_state as state from pg_stat_replication',
    );
    return rows[0]?.state === 'sync';
  };
  await untilSo('the standby to follow synchronously', isSynchronous);
  await admin.end();
}
