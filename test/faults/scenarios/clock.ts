import { existsSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, HallpassProblem, type TaskHandle } from '../../../src/client/client.ts';
import { type Scenario, type Stage, untilSo } from '../scenario.ts';
import type { WorldOptions } from '../world.ts';

/** Where Debian has it, on the platforms that it has. */
const LIBRARIES = ['x86_64', 'aarch64'].map(
  (arch) => `/usr/lib/${arch}-linux-gnu/faketime/libfaketimeMT.so.1`,
);

export async function missingFaketime(): Promise<string | null> {
  return LIBRARIES.some((path) => existsSync(path)) ? null : 'needs libfaketime (Debian libfaketime)';
}

/** The clock of a replica, to be set by writing into a file. */
export interface FakeTime {
  readonly env: Readonly<Record<string, string>>;
  /** How far from the truth, in seconds. */
  set(seconds: number): void;
}

export async function fakeTime(undo: (() => Promise<unknown>)[]): Promise<FakeTime> {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-clock-'));
  undo.push(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'offset');
  const set = (seconds: number) => writeFileSync(file, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}`);
  set(0);
  return {
    set,
    env: {
      LD_PRELOAD: LIBRARIES.find((path) => existsSync(path)) ?? '',
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      // Somebody sets the clock of the wall; the one that measures durations goes on, as in the kernel.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    },
  };
}

const clocks = new WeakMap<WorldOptions, FakeTime>();

/** The clock of one of two replicas jumps, forward and back, while tasks go on. */
export const clock: Scenario = {
  name: 'clock',
  missing: missingFaketime,
  async prepare(undo) {
    const time = await fakeTime(undo);
    const options = { replicas: 2, special: { 1: { env: time.env } } };
    clocks.set(options, time);
    return options;
  },
  async round(stage) {
    const time = clocks.get(stage.world.options);
    if (time === undefined) throw new Error('the clock is not ours to set');
    await jump(stage, time, [3_600, -3_600, 40, -40][stage.number % 4] ?? 0);
  },
};

export async function jump(stage: Stage, time: FakeTime, seconds: number): Promise<void> {
  const { world, crowd, say, took, fault } = stage;
  const [replica] = world.replicas;
  if (replica === undefined) return;
  const others = createClient({
    url: world.url,
    fetch: world.balancer.fetch,
    token: () => world.token('job'),
  });
  const kept = await Promise.all([1, 2, 3].map(() => others.openTask({ grant: 'held', task: 'work' })));
  say(`the clock of ${replica.name} jumps by ${seconds} s`);
  time.set(seconds);
  took(
    'clock jumps: the replica is not ready',
    await untilSo('not ready', async () => !(await replica.isReady())),
  );
  // It may have claimed what it saw as due in the instants before; from here on it must leave everything alone.
  await expectRefused(stage, replica.url);
  took('clock of one of two jumps: next task opened', await crowd.nextOpened());
  for (let beats = 0; beats < 3; beats++) {
    await delay(1_000);
    for (const task of kept) await stillOpen(stage, task);
  }
  time.set(0);
  took('clock set right: the replica is ready again', await untilSo('ready', () => replica.isReady()));
  for (const task of kept) {
    await stillOpen(stage, task);
    const { leases } = await task.complete(0);
    if (leases.some((lease) => lease.end_reason !== 'completed'))
      fault(`3: while a clock was wrong a lease was ended as ${leases.map((lease) => lease.end_reason)}`);
  }
}

async function stillOpen({ fault }: Stage, task: TaskHandle): Promise<void> {
  try {
    await task.heartbeat();
  } catch (error) {
    if (error instanceof HallpassProblem && error.code === 'task-ended')
      fault(`3: task ${task.id} was ended while a clock was wrong`);
  }
}

/** A replica that does not know what time it is begins nothing. */
async function expectRefused({ world, fault }: Stage, url: string): Promise<void> {
  const token = await world.token('job');
  const answer = await fetch(`${url}/v1/tasks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ grant: 'short', task: 'work' }),
  });
  const body = (await answer.json()) as { code?: string };
  if (answer.status !== 503 || body.code !== 'not-ready' || !answer.headers.has('retry-after'))
    fault(`6: a replica with a wrong clock answered ${answer.status} ${body.code ?? ''}`);
}
