import { setTimeout as delay } from 'node:timers/promises';
import type { Weather } from '../../support/tcp-proxy.ts';
import type { Scenario } from '../scenario.ts';

const FAIR: Weather = { kind: 'fair' };

/** A target is away, slow, swallows answers, or refuses the broker; the other goes on. */
export const targets: Scenario = {
  name: 'target',
  prepare: async () => ({ replicas: 2 }),
  async round(stage) {
    const { world, crowd, random, say, took } = stage;
    const through = (weather: Weather) => async () => {
      for (const wire of [world.warehouseWire, world.serviceWire]) wire.set(weather);
      await delay(4_000);
      for (const wire of [world.warehouseWire, world.serviceWire]) wire.set(FAIR);
    };
    const ways = [
      ['targets reset connections for 4 s', through({ kind: 'down' })],
      ['targets are silent for 4 s', through({ kind: 'blackhole' })],
      ['targets answer, and nobody hears it, for 4 s', through({ kind: 'cut', replies: 0 })],
      ['targets are 300 ms away for 4 s', through({ kind: 'slow', delayMs: 300 })],
      ['the warehouse refuses the broker for 4 s', refuse],
    ] as const;
    async function refuse(): Promise<void> {
      const admin = await world.warehouse.connect();
      await admin.query('alter role hallpass nologin');
      await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'hallpass'`);
      await delay(4_000);
      await admin.query('alter role hallpass login');
      await admin.end();
    }
    const [way, blow] = ways[stage.number % ways.length] ?? ways[0];
    say(way);
    await blow();
    took(`${way}: next task opened`, await crowd.nextOpened());
    await delay(random.below(1_000));
  },
};
