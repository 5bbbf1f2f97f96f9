import { loadavg } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { createRandom, type Random } from '../simulate/random.ts';
import { type Crowd, type CrowdOptions, startCrowd } from './crowd.ts';
import { judge, type Verdict } from './judge.ts';
import { buildWorld, type World, type WorldOptions } from './world.ts';

/** One kind of blow, and what it is dealt to. */
export interface Scenario {
  readonly name: string;
  /** Why it cannot be played here, or null. */
  readonly missing?: () => Promise<string | null>;
  /** Makes the ground that the world stands on, and answers how to build it. */
  readonly prepare: (undo: (() => Promise<unknown>)[]) => Promise<WorldOptions>;
  readonly crowd?: Partial<CrowdOptions>;
  /** One blow, and the wait until all is well again. */
  readonly round: (stage: Stage) => Promise<void>;
}

export interface Stage {
  readonly world: World;
  readonly crowd: Crowd;
  readonly random: Random;
  /** Counts from 0. */
  readonly number: number;
  /** How long rounds are still to be played, in milliseconds. */
  leftMs(): number;
  say(what: string): void;
  /** For the report: how long something took, in milliseconds, or how often it was. */
  took(what: string, value: number): void;
  /** Others that got credentials: what they know is judged as well. */
  also(crowd: Crowd): void;
  /** What does not hold, seen while it happened. */
  fault(what: string): void;
}

export interface Measured {
  readonly what: string;
  readonly value: number;
  /** The machine's load average over the last minute, at that time. */
  readonly load: number;
}

export interface Played {
  readonly scenario: string;
  readonly rounds: number;
  readonly faults: readonly string[];
  readonly verdict: Verdict;
  readonly measured: readonly Measured[];
  readonly opened: number;
  readonly refusals: ReadonlyMap<string, number>;
  readonly restarts: number;
  readonly seconds: number;
}

export interface Play {
  readonly seed: number;
  /** At the least one round is played; then no more after this instant of `performance.now()`. */
  readonly until: number;
  readonly say: (what: string) => void;
}

/** Plays a scenario under load, and judges what is left of its world. */
export async function play(scenario: Scenario, options: Play): Promise<Played> {
  const began = performance.now();
  const { say, until } = options;
  const random = createRandom(options.seed);
  const measured: Measured[] = [];
  const faults: string[] = [];
  const leftMs = () => until - performance.now();
  let rounds = 0;
  const undo: (() => Promise<unknown>)[] = [];
  try {
    const world = await buildWorld(await scenario.prepare(undo));
    undo.push(async () => world[Symbol.asyncDispose]());
    const crowd = startCrowd(world, { workers: 8, seed: options.seed, ...scenario.crowd });
    const crowds = [crowd];
    await crowd.nextOpened();
    do {
      await scenario.round(
        createStage({ world, crowd, crowds, random, number: rounds++, leftMs, measured, faults, say }),
      );
    } while (leftMs() > 0);
    await crowd.stop();
    const verdict = await judge(world, crowds);
    const refusals = new Map<string, number>();
    for (const one of crowds)
      for (const [what, count] of one.refusals) refusals.set(what, (refusals.get(what) ?? 0) + count);
    return {
      scenario: scenario.name,
      rounds,
      faults: [...faults, ...verdict.faults],
      verdict,
      measured,
      opened: crowds.reduce((sum, { openedAt }) => sum + openedAt.length, 0),
      refusals,
      restarts: world.replicas.reduce((sum, { starts }) => sum + starts - 1, 0),
      seconds: (performance.now() - began) / 1000,
    };
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

/** What a round is given, and where what it finds is gathered. */
export function createStage({
  crowds,
  measured,
  faults,
  say,
  ...rest
}: Pick<Stage, 'world' | 'crowd' | 'random' | 'number' | 'leftMs' | 'say'> & {
  readonly crowds: Crowd[];
  readonly measured: Measured[];
  readonly faults: string[];
}): Stage {
  return {
    ...rest,
    say,
    took(what, value) {
      measured.push({ what, value, load: loadavg()[0] ?? 0 });
      say(`${what}: ${Math.round(value)}`);
    },
    also: (other) => void crowds.push(other),
    fault: (what) => void faults.push(what),
  };
}

/** Waits until it is so. */
export async function untilSo(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  patienceMs = 120_000,
): Promise<number> {
  const from = performance.now();
  while (!(await isSo())) {
    if (performance.now() - from > patienceMs) throw new Error(`Gave up waiting for ${what}`);
    await delay(25);
  }
  return performance.now() - from;
}
