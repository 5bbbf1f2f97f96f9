import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { ProviderError } from '../../src/errors.ts';
import { runSweeps, sweepTarget } from '../../src/reaper/sweep.ts';
import { newId } from '../../src/runtime.ts';
import { type TestBroker, value } from '../support/broker.ts';
import { settle, until } from '../support/runtime.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let stage: Stage;
let hallpass: TestBroker;

beforeEach(async () => {
  stage = await createStage(store);
  hallpass = await stage.start();
});
afterEach(async () => {
  await stage.check();
  await stage.close();
});
afterAll(() => store.stop());

function sweep() {
  return sweepTarget(
    hallpass.broker,
    hallpass.broker.targets.get('warehouse')!,
    new AbortController().signal,
  );
}

async function orphanEvents() {
  return (await hallpass.events()).filter((event) => event.kind.startsWith('orphan.'));
}

test('sweepTarget: ends and reports what bears our mark without a lease, and leaves all else alone', async () => {
  const { opened } = await stage.open(hallpass);
  const { mark } = hallpass.broker;
  const planted = [`${mark}${newId(stage.runtime)}`, `${mark}no_id_at_all`];
  const foreign = [`hp_zzzz_${newId(stage.runtime)}`, 'somebody'];
  for (const name of [...planted, ...foreign]) stage.warehouse.plant(name);
  expect(await sweep()).toEqual({ target: 'warehouse', seen: 3, orphans: 2, ended: 2 });
  expect([...stage.warehouse.live.keys()].sort()).toEqual(
    [opened.credentials[0]!.lease.name, ...foreign].sort(),
  );
  expect((await orphanEvents()).map(({ kind, data }) => [kind, (data as { name: string }).name])).toEqual(
    planted.flatMap((name) => [
      ['orphan.found', name],
      ['orphan.ended', name],
    ]),
  );
  expect(await sweep()).toEqual({ target: 'warehouse', seen: 1, orphans: 0, ended: 0 });
});

test('sweepTarget: a credential that is there again after its lease ended is ended again', async () => {
  const { holder, taskId, opened } = await stage.open(hallpass);
  const { name, id } = opened.credentials[0]!.lease;
  value(await hallpass.verbs.completeTask(holder, taskId, 0));
  stage.warehouse.plant(name);
  stage.runtime.jump(60_000);
  expect(await sweep()).toMatchObject({ orphans: 1, ended: 1 });
  expect(await orphanEvents()).toMatchObject([
    { about: { lease: id }, data: { name, why: 'lease-ended' } },
    { about: { lease: id } },
  ]);
  expect(stage.warehouse.live.size).toBe(0);
});

test('sweepTarget: what a target lists without our mark is not ours to end', async () => {
  const { broker } = hallpass;
  const live = broker.targets.get('warehouse')!;
  const foreign = ['somebody', 'hp_', `xx${broker.mark}${newId(stage.runtime)}`];
  for (const name of foreign) stage.warehouse.plant(name);
  const target = Object.assign(Object.create(live.target), {
    async *inventory() {
      for (const name of foreign) yield { name };
    },
  });
  const swept = await sweepTarget(broker, { ...live, target }, new AbortController().signal);
  expect(swept).toEqual({ target: 'warehouse', seen: 3, orphans: 0, ended: 0 });
  expect([...stage.warehouse.live.keys()]).toEqual(foreign);
  expect(await orphanEvents()).toEqual([]);
});

for (const [who, behindMs] of [
  ['ended', 0],
  ['was ended by a replica whose clock is behind', 4_000],
] as const) {
  test(`sweepTarget: a lease that ${who} while its target was read is no orphan`, async () => {
    const { holder, taskId } = await stage.open(hallpass);
    const { broker } = hallpass;
    const live = broker.targets.get('warehouse')!;
    const runtime = { ...stage.runtime, now: () => stage.runtime.now() - behindMs };
    const ender = await stage.start({ runtime });
    const target = Object.assign(Object.create(live.target), {
      async *inventory(signal: AbortSignal) {
        const names: { readonly name: string }[] = [];
        for await (const found of live.target.inventory!(signal)) names.push(found);
        stage.runtime.jump(1_000);
        value(await ender.verbs.completeTask(holder, taskId, 0));
        yield* names;
      },
    });
    const swept = await sweepTarget(broker, { ...live, target }, new AbortController().signal);
    expect(swept).toEqual({ target: 'warehouse', seen: 1, orphans: 0, ended: 0 });
    expect(await orphanEvents()).toEqual([]);
  });
}

test('runSweeps: by a clock that is wrong nothing is taken for an orphan; when it is right again, it is found', async () => {
  stage.warehouse.plant(`${hallpass.broker.mark}${newId(stage.runtime)}`);
  let fault: string | null = 'an hour ahead';
  let asked = 0;
  const clock = {
    fault: async () => {
      asked++;
      return fault;
    },
    compare: async () => fault,
  };
  const { broker } = await stage.start({ clock });
  const stop = new AbortController();
  const running = runSweeps(broker, stop.signal);
  // Both targets were asked about, and there is only the wait for the next round.
  await until(() => asked === 2 && stage.runtime.sleeping() === 1);
  expect(stage.warehouse.live.size).toBe(1);
  expect(await orphanEvents()).toEqual([]);
  fault = null;
  await stage.runtime.advance(600_000);
  await until(() => stage.warehouse.live.size === 0);
  stop.abort();
  await running;
});

test('runSweeps: a target that cannot be read, or an orphan that cannot be ended, is tried again', async () => {
  const name = `${hallpass.broker.mark}${newId(stage.runtime)}`;
  stage.warehouse.plant(name);
  let reads = 0;
  stage.warehouse.inventoryFault = () => {
    if (++reads === 1) throw new ProviderError('target-unreachable', 'gone');
  };
  let rounds = 0;
  stage.cache.inventoryFault = () => void rounds++;
  let ends = 0;
  stage.warehouse.fault = (_call, phase) => {
    if (phase === 'before' && ++ends === 1) throw new ProviderError('target-forbidden', 'may not');
  };
  const stop = new AbortController();
  const running = runSweeps(hallpass.broker, stop.signal);
  for (let round = 1; round <= 3; round++) {
    // The other target comes second, and is empty: after it there is only the wait for the next round.
    await until(() => rounds >= round);
    await settle();
    await stage.runtime.advance(600_000);
  }
  await until(() => stage.warehouse.live.size === 0);
  stop.abort();
  await running;
  expect((await orphanEvents()).map(({ kind }) => kind)).toEqual([
    'orphan.found',
    'orphan.found',
    'orphan.ended',
  ]);
});
