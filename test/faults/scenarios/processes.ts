import { setTimeout as delay } from 'node:timers/promises';
import type { Scenario, Stage } from '../scenario.ts';

/** Longer than a claim with the `end_timeout` of the world, and than its mint window. */
export const LONGER_THAN_A_CLAIM_MS = 12_000;

/** Replicas die at any instant, alone or all together, and are started again. */
export const kills: Scenario = {
  name: 'kill',
  prepare: async () => ({ replicas: 3 }),
  async round({ world: { replicas }, crowd, random, took, say }) {
    const victims = random.chance(0.2) ? replicas : [random.pick(replicas)];
    say(`SIGKILL to ${victims.map(({ name }) => name).join(', ')}`);
    await Promise.all(victims.map((replica) => replica.kill()));
    const all = victims.length === replicas.length;
    took(`SIGKILL of ${all ? 'all replicas' : 'one of three'}: next task opened`, await crowd.nextOpened());
    const began = performance.now();
    await Promise.all(victims.map((replica) => replica.ready()));
    took('SIGKILL: the replica is ready again', performance.now() - began);
    await delay(random.below(1_500));
  },
};

/** A replica stands still for longer than its claims hold, and then goes on as if nothing had been. */
export const pauses: Scenario = {
  name: 'pause',
  prepare: async () => ({ replicas: 2 }),
  async round(stage: Stage) {
    const { world, crowd, random, took, say } = stage;
    const replica = random.pick(world.replicas);
    say(`SIGSTOP to ${replica.name}`);
    replica.pause();
    took('SIGSTOP of one of two: next task opened', await crowd.nextOpened());
    await delay(LONGER_THAN_A_CLAIM_MS + random.below(4_000));
    replica.resume();
    const began = performance.now();
    await replica.ready();
    took('SIGCONT: the replica is ready again', performance.now() - began);
    await delay(random.below(1_500));
  },
};
