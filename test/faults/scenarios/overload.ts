import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, type TaskHandle } from '../../../src/client/client.ts';
import { HallpassProblem } from '../../../src/client/problem.ts';
import { startCrowd } from '../crowd.ts';
import type { Replica } from '../replica.ts';
import { type Scenario, type Stage, untilSo } from '../scenario.ts';
import type { Storm, StormAnswers } from '../storm.process.ts';
import type { World } from '../world.ts';

/** Together with the sixteen mints at once of a replica: what a target can do. */
const TARGET_DELAY_MS = 100;

const STORM_CLIENTS = 500;

const SHORTEST_MS = 60_000;
/** Tokens and the leases that are held meanwhile live for ten minutes. */
const LONGEST_MS = 500_000;

/** Far beyond what the targets can do, for as long as there is time: nothing may grow. */
export const overload: Scenario = {
  name: 'overload',
  prepare: async () => ({ replicas: 2 }),
  crowd: { grants: ['both'], abandoned: 0 },
  round: (stage) => storm(stage, Math.min(Math.max(stage.leftMs(), SHORTEST_MS), LONGEST_MS), STORM_CLIENTS),
};

/** Many ask for what only a few may have at a time, on both replicas. The judge holds the target's count against the limit. */
export const quotas: Scenario = {
  name: 'quota',
  prepare: async () => ({ replicas: 2 }),
  round: (stage) => scramble(stage, 10_000),
};

/** So often the limit has to be tried, however slow the machine is. */
const REFUSED = 20;

export async function scramble(stage: Stage, ms: number): Promise<void> {
  const { world, random, say, took } = stage;
  say('40 clients ask for 12 leases');
  const options = { workers: 40, seed: random.below(1e6), pauseMs: 5, grants: ['few'], abandoned: 0.01 };
  const crowd = startCrowd(world, options);
  await delay(ms);
  await untilSo('the limit to be reached', () => crowd.heard('limit-reached') >= REFUSED);
  await crowd.stop();
  stage.also(crowd);
  took('tasks opened within a limit of 12 leases', crowd.openedAt.length);
}

/** All at the replicas that are named, or at every one. */
export async function storm(
  stage: Stage,
  ms: number,
  clients: number,
  replicas: readonly Replica[] = stage.world.replicas,
): Promise<void> {
  const { world, crowd, say, took, fault } = stage;
  const held = await holdTasks(world);
  const before = await tasksOf(world);
  const completedBefore = crowd.completed.size;
  for (const wire of [world.serviceWire, world.warehouseWire])
    wire.set({ kind: 'slow', delayMs: TARGET_DELAY_MS });
  say(`${clients} clients storm for ${Math.round(ms / 1000)} s`);
  const memory = watchMemory(world);
  const [answers] = await Promise.all([
    stormFor(world, ms, clients, replicas),
    ...held.map((task, i) => completeLater(stage, task, (ms * (i + 1)) / (held.length + 1))),
  ]);
  const { heap, resident } = await memory.stop();
  for (const wire of [world.serviceWire, world.warehouseWire]) wire.set({ kind: 'fair' });
  took('overload is over: next task opened', await crowd.nextOpened());
  const count = (code: string) => answers.codes[code] ?? 0;
  const total = Object.values(answers.codes).reduce((sum, one) => sum + one, 0);
  for (const [code, times] of Object.entries(answers.codes))
    took(`overload: answered ${code} (of ${total})`, times);
  took('overload: completions meanwhile', crowd.completed.size - completedBefore);
  for (const [what, peaks] of Object.entries({ heap, resident }))
    for (const [third, bytes] of peaks.entries())
      took(`overload: most ${what} in third ${third + 1}, MB`, bytes / 1e6);
  if (count('overloaded') + count('target-unavailable') === 0)
    fault('0: nothing was shed: there was no overload');
  if (answers.withoutRetryAfter > 0) fault(`10: ${answers.withoutRetryAfter} times 503 without Retry-After`);
  const [first = 0, , last = 0] = heap;
  if (last > first * 1.5 + 64e6)
    fault(`10: the heap grew from ${first} to ${last} bytes under steady overload`);
  const begun = (await tasksOf(world)) - before;
  const mayHaveBegun = total - count('overloaded') - count('target-unavailable');
  if (begun > mayHaveBegun)
    fault(`10: ${begun} tasks were begun, and only ${mayHaveBegun} requests not shed`);
  const shut = [...crowd.refusals.keys()].filter((what) =>
    /^(complete|heartbeat): (overloaded|limit)/.test(what),
  );
  if (shut.length > 0) fault(`10: load kept tasks from ending: ${shut}`);
}

/** Tasks that were there before the load: they have a right to end. */
function holdTasks(world: World): Promise<TaskHandle[]> {
  const { url, balancer } = world;
  const client = createClient({ url, fetch: balancer.fetch, token: () => world.token('job') });
  async function hold(attempts = 20): Promise<TaskHandle> {
    try {
      return await client.openTask({ grant: 'held', task: 'work' });
    } catch (error) {
      // A replica that has just come back may be without its issuer's keys, and says no more than that it knows nobody.
      const passes = error instanceof HallpassProblem && error.code === 'unauthenticated';
      if (!passes || attempts === 1) throw error;
      await delay(250);
      return hold(attempts - 1);
    }
  }
  return Promise.all(Array.from({ length: 10 }, () => hold()));
}

/** Waits until its time has come, and then ends, in the midst of it all. */
async function completeLater({ took, fault }: Stage, task: TaskHandle, afterMs: number): Promise<void> {
  await delay(afterMs);
  try {
    const began = performance.now();
    const { task: ended, leases } = await task.complete(0);
    took('overload: completing a task that was open before', performance.now() - began);
    if (ended.state !== 'ended') fault(`10: load kept task ${task.id} from ending`);
    took(
      'overload: its leases that had not ended then',
      leases.filter(({ state }) => state !== 'ended').length,
    );
  } catch (error) {
    fault(`10: load kept task ${task.id} from ending: ${error}`);
  }
}

async function tasksOf(world: World): Promise<number> {
  const [row] = await world
    .database()
    .query<{ count: number }>(
      { name: 'faults_tasks', text: "select count(*)::int as count from task where name = 'storm'" },
      [],
    );
  return row?.count ?? 0;
}

async function stormFor(
  world: World,
  ms: number,
  clients: number,
  replicas: readonly Replica[],
): Promise<StormAnswers> {
  const program = join(import.meta.dirname, '../storm.process.ts');
  const child = fork(program, [], { execArgv: ['--import', 'tsx'], stdio: ['ignore', 2, 2, 'ipc'] });
  const ended = once(child, 'exit').then(() => {
    throw new Error('The storm ended before its time');
  });
  ended.catch(() => {});
  await Promise.race([once(child, 'message'), ended]);
  const answers = once(child, 'message');
  const token = await world.token('job');
  child.send({ urls: replicas.map(({ url }) => url), token, clients, ms } satisfies Storm);
  const [said] = (await Promise.race([answers, ended])) as [StormAnswers];
  return said;
}

interface Memory {
  readonly heap: number;
  readonly resident: number;
}

/** The most memory of any replica in each third of the time, in bytes. */
function watchMemory(world: World) {
  const samples: Memory[] = [];
  let stopped = false;
  const watching = (async () => {
    while (!stopped) {
      samples.push(...(await Promise.all(world.replicas.map(({ url }) => memoryOf(url)))));
      await delay(500);
    }
  })();
  return {
    async stop(): Promise<Record<keyof Memory, number[]>> {
      stopped = true;
      await watching;
      const third = Math.ceil(samples.length / 3);
      const peaks = (what: keyof Memory) =>
        [0, 1, 2].map((at) =>
          Math.max(0, ...samples.slice(at * third, (at + 1) * third).map((one) => one[what])),
        );
      return { heap: peaks('heap'), resident: peaks('resident') };
    },
  };
}

async function memoryOf(url: string): Promise<Memory> {
  try {
    const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(5_000) })).text();
    const gauge = (name: string) => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1] ?? 0);
    return { heap: gauge('nodejs_heap_size_used_bytes'), resident: gauge('process_resident_memory_bytes') };
  } catch {
    return { heap: 0, resident: 0 };
  }
}
