import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { startCrowd } from '../crowd.ts';
import type { Replica } from '../replica.ts';
import type { Scenario } from '../scenario.ts';

const run = promisify(execFile);

/** Beyond those that it has open while little goes on: far fewer than a burst of clients wants. */
const SPARE_DESCRIPTORS = 16;

const PLENTY = 1_024;

/** Too little for a burst: the process may die of it, and is started again. */
const HEAP_MB = 36;

/** One replica with hardly a descriptor left and one with little memory meet more clients than they have room for. */
export const limits: Scenario = {
  name: 'limits',
  missing: () =>
    run('prlimit', ['--version']).then(
      () => null,
      () => 'needs prlimit (Debian util-linux)',
    ),
  prepare: async () => ({ replicas: 2, special: { 2: { flags: [`--max-old-space-size=${HEAP_MB}`] } } }),
  async round(stage) {
    const { world, crowd, random, say, took } = stage;
    const [first] = world.replicas;
    if (first === undefined) return;
    await first.ready();
    const most = (await readdir(`/proc/${first.pid}/fd`)).length + SPARE_DESCRIPTORS;
    took('descriptors that one replica may have', most);
    await mayHave(first, most);
    say('a burst of 250 clients');
    const burst = startCrowd(world, { workers: 250, seed: random.below(1e6), pauseMs: 1, abandoned: 0 });
    await delay(8_000);
    await burst.stop();
    stage.also(burst);
    await mayHave(first, PLENTY);
    took('after a burst: next task opened', await crowd.nextOpened());
    await Promise.all(world.replicas.map((replica) => replica.ready()));
    took('tasks opened in a burst', burst.openedAt.length);
  },
};

/** Descriptors from now on. When the process is started again it has as many as ever. */
async function mayHave({ pid }: Replica, descriptors: number): Promise<void> {
  await run('prlimit', ['--pid', String(pid), `--nofile=${descriptors}:${PLENTY}`]);
}
