import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '../../support/postgres.ts';
import { type Scenario, type Stage, untilSo } from '../scenario.ts';

/** Deals a blow and undoes it, and takes the time from the end of the blow until a task is opened. */
async function recover(stage: Stage, what: string, blow: () => Promise<void>): Promise<void> {
  const { crowd, say, took } = stage;
  say(what);
  await blow();
  took(`${what}: next task opened`, await crowd.nextOpened());
  await delay(stage.random.below(1_000));
}

async function asAdmin(server: PostgresServer, sql: string): Promise<void> {
  const admin = await server.connect();
  try {
    for (const statement of sql.split(';')) await admin.query(statement);
  } finally {
    await admin.end();
  }
}

/** The store's server is restarted in each of the three ways. */
export const restarts: Scenario = {
  name: 'store-restart',
  prepare: async () => ({ replicas: 2 }),
  async round(stage) {
    const { store } = stage.world;
    const ways = [
      ['fast', () => store.restart('fast')],
      ['immediate', () => store.restart('immediate')],
      ['killed', () => store.kill().then(() => store.restart())],
    ] as const;
    const [way, blow] = ways[stage.number % ways.length] ?? ways[0];
    await recover(stage, `Postgres restarted (${way})`, blow);
  },
};

/** Connections to the store break: cut by the server, reset on the way, or dead without a word. */
export const cuts: Scenario = {
  name: 'store-cut',
  prepare: async () => ({ replicas: 2 }),
  async round(stage) {
    const { store, storeWire } = stage.world;
    const weather = async (kind: 'down' | 'blackhole', ms: number) => {
      storeWire.set({ kind });
      await delay(ms);
      storeWire.set({ kind: 'fair' });
    };
    const terminate = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'hallpass'`;
    const ways = [
      ['pg_terminate_backend', () => asAdmin(store, terminate)],
      ['connections reset', () => weather('down', 0)],
      ['unreachable for 3 s', () => weather('down', 3_000)],
      ['silent for 8 s', () => weather('blackhole', 8_000)],
    ] as const;
    const [way, blow] = ways[stage.number % ways.length] ?? ways[0];
    await recover(stage, `store's connections: ${way}`, blow);
  },
};

/** The store takes no writes, as after a failover, and then takes them again. */
export const readOnly: Scenario = {
  name: 'store-read-only',
  prepare: async () => ({ replicas: 2 }),
  async round(stage) {
    const { store, replicas } = stage.world;
    await recover(stage, 'store read-only until all have noticed', async () => {
      const heard = stage.crowd.heard('store-unavailable');
      await asAdmin(store, `alter system set default_transaction_read_only = on; select pg_reload_conf()`);
      await untilSo('a client to hear of it', () => stage.crowd.heard('store-unavailable') > heard);
      for (const replica of replicas)
        await untilSo(`${replica.name} not to be ready`, async () => !(await replica.isReady()));
      await asAdmin(store, `alter system reset default_transaction_read_only; select pg_reload_conf()`);
    });
  },
};
