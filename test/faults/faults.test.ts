import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../simulate/random.ts';
import { type Crowd, startCrowd } from './crowd.ts';
import { judge } from './judge.ts';
import { createStage, type Measured, type Stage, untilSo } from './scenario.ts';
import { type FakeTime, fakeTime, jump, missingFaketime } from './scenarios/clock.ts';
import { scramble, storm } from './scenarios/overload.ts';
import { LONGER_THAN_A_CLAIM_MS } from './scenarios/processes.ts';
import { cuts, readOnly, restarts } from './scenarios/store.ts';
import { targets } from './scenarios/target.ts';
import { buildWorld, missing, type World } from './world.ts';

const reason = await missing();
const noFaketime = await missingFaketime();

/** The machine may be busy with other things: what is waited for are conditions, and this is when all hope is given up. */
const PATIENCE = { timeout: 300_000 };

/** One world of three replicas, under load, is dealt one blow after the other; then all that was said is held against what is so. */
describe('faults', PATIENCE, () => {
  const undo: (() => Promise<unknown>)[] = [];
  const crowds: Crowd[] = [];
  const faults: string[] = [];
  const measured: Measured[] = [];
  let world: World;
  let time: FakeTime | null = null;
  let pausedAt = 0;

  beforeAll(async () => {
    if (reason !== null) return;
    time = noFaketime === null ? await fakeTime(undo) : null;
    world = await buildWorld({ replicas: 3, special: time ? { 1: { env: time.env } } : {} });
    undo.push(async () => world[Symbol.asyncDispose]());
    crowds.push(startCrowd(world, { workers: 6, seed: 1 }));
    await crowds[0]!.nextOpened();
  }, PATIENCE.timeout);
  afterAll(async () => {
    await Promise.all(crowds.map((crowd) => crowd.stop()));
    for (const step of undo.reverse()) await step();
  }, PATIENCE.timeout);

  const stage = (number = 0): Stage =>
    createStage({
      world,
      crowd: crowds[0]!,
      crowds,
      random: createRandom(number),
      number,
      leftMs: () => 0,
      measured,
      faults,
      say: () => {},
    });
  const play = async (round: (stage: Stage) => Promise<void>, number = 0) => {
    await round(stage(number));
    expect(faults).toEqual([]);
  };

  test('a replica that stands still for longer than a claim leaves its work to the others', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    world.replicas[2]!.pause();
    pausedAt = performance.now();
    await crowds[0]!.nextOpened();
  });

  test('a replica that is killed is not missed', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await world.replicas[1]!.kill();
    await crowds[0]!.nextOpened();
    await world.replicas[1]!.ready();
  });

  test('a store that is restarted, or whose connections are cut, is found again', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await play(restarts.round, 1);
    await play(cuts.round, 0);
    await play(cuts.round, 1);
  });

  test('a store that takes no writes makes its brokers unready, until it takes them again', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await play(readOnly.round);
  });

  test('targets that break off in the middle of an answer keep nobody from going on', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await play(targets.round, 2);
  });

  for (const seconds of [3_600, -3_600])
    test(`a replica whose clock jumps by ${seconds} s begins nothing and ends nothing`, async (ctx) => {
      if (reason !== null || time === null) return ctx.skip(reason ?? noFaketime ?? '');
      await play((on) => jump(on, time as FakeTime, seconds));
    });

  test('what stood still goes on, and undoes nothing', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await untilSo('its claims to time out', () => performance.now() - pausedAt > LONGER_THAN_A_CLAIM_MS);
    world.replicas[2]!.resume();
    await world.replicas[2]!.ready();
  });

  test('a limit holds while all replicas are asked by many', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await play((on) => scramble(on, 1_500));
  });

  test('beyond its capacity the broker sheds before it begins, and keeps ending', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await play((on) => storm(on, 2_500, 1_000, world.replicas.slice(1, 2)));
  });

  test('then nothing is lost, nothing is left, and every outcome is true', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await Promise.all(crowds.map((crowd) => crowd.stop()));
    const verdict = await judge(world, crowds);
    expect(verdict.faults).toEqual([]);
    expect(verdict.outcomes.revoked).toBeGreaterThan(50);
  });
});
