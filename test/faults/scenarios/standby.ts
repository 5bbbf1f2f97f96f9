import { availablePostgres } from '../../support/postgres.ts';
import { type Scenario, untilSo } from '../scenario.ts';

/** The primary dies under load, and its synchronous standby is promoted. The brokers know both, and find the new one. */
export const failover: Scenario = {
  name: 'store-failover',
  once: true,
  async missing() {
    const { 15: debian } = await availablePostgres();
    return debian.ok ? null : `${debian.reason}, for pg_basebackup`;
  },
  prepare: async () => ({ replicas: 2, standby: true }),
  async round({ world, crowd, say, took }) {
    const { store, standby } = world;
    if (standby === null) throw new Error('there is no standby');
    await followSynchronously(world.store);
    await crowd.nextOpened();
    say('the primary is killed');
    await store.kill();
    const admin = await standby.connect();
    const began = performance.now();
    await admin.query('select pg_promote()');
    await admin.end();
    took('failover: the standby is promoted', performance.now() - began);
    took('failover: next task opened', await crowd.nextOpened());
    took('failover: from the death of the primary to the next task', performance.now() - began);
    await world.promoted();
    await Promise.all(world.replicas.map((replica) => replica.ready()));
  },
};

/** From here on a commit is acknowledged when the standby has it. */
async function followSynchronously(store: { connect(): Promise<import('pg').Client> }): Promise<void> {
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
