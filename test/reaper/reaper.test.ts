import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { ProviderError } from '../../src/errors.ts';
import { claimDue } from '../../src/store/leases.ts';
import type { LeaseRow } from '../../src/store/rows.ts';
import type { TestBroker } from '../support/broker.ts';
import { drive } from '../support/drive.ts';
import { leaseRow, taskRow } from '../support/rows.ts';
import { until } from '../support/runtime.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let stage: Stage;
let hallpass: TestBroker;

beforeEach(async () => {
  stage = await createStage(store);
  hallpass = await stage.start();
});
afterEach(() => stage.close());
afterAll(() => store.stop());

/** Leases that are live at a target and due at an instant, without the way there. */
async function plant(count: number, target: 'warehouse' | 'cache', dueAt: number): Promise<LeaseRow[]> {
  const { runtime } = stage;
  const task = taskRow(runtime);
  const leases = Array.from({ length: count }, () => {
    const lease = leaseRow(runtime, task, { target, state: 'active', dueAt, expiresAt: dueAt });
    stage[target].plant(lease.name);
    return lease;
  });
  const [first, ...rest] = leases;
  await hallpass.broker.committer.commit({ newTask: task, newLeases: [first!], events: [] });
  await hallpass.broker.committer.commit({ newLeases: rest, events: [] });
  return leases;
}

function countQueries(): { readonly names: string[] } {
  const names: string[] = [];
  const { query } = stage.database;
  Object.assign(stage.database, {
    query(...parameters: Parameters<typeof query>) {
      names.push(parameters[0].name);
      return query(...parameters);
    },
  });
  return { names };
}

test('tick: two reapers share what is due: each lease is ended once', async () => {
  const other = await stage.start();
  await plant(200, 'warehouse', stage.runtime.now());
  await drive(stage.runtime, Promise.all([hallpass.reap(), other.reap()]));
  const ends = stage.warehouse.calls.filter(({ call }) => call === 'end').map(({ name }) => name);
  expect(ends).toHaveLength(200);
  expect(new Set(ends).size).toBe(200);
  expect(stage.warehouse.live.size).toBe(0);
});

test('tick: claims no more of a target than can be under way there', async () => {
  await plant(100, 'warehouse', stage.runtime.now());
  let most = 0;
  let now = 0;
  stage.warehouse.fault = async (_call, phase) => {
    if (phase === 'after') return void now--;
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 1));
  };
  expect(await hallpass.reaper.tick()).toBe(16);
  await hallpass.reap();
  expect(most).toBe(16);
  expect(stage.warehouse.live.size).toBe(0);
});

test('tick: what a dead replica had claimed comes up again when its claim has timed out', async () => {
  await plant(10, 'warehouse', stage.runtime.now());
  const now = stage.runtime.now();
  expect(await claimDue(stage.database, [{ target: 'warehouse', room: 10 }], now, now + 60_000)).toHaveLength(
    10,
  );
  await hallpass.reap();
  expect(stage.warehouse.live.size).toBe(10);
  stage.runtime.jump(60_000);
  await hallpass.reap();
  expect(stage.warehouse.live.size).toBe(0);
});

test('run: wakes when the next lease is due, not before, and for what another call made due at once', async () => {
  const patient = await stage.start({ limits: { reaperIdleMs: 3_600_000 } });
  await plant(1, 'warehouse', stage.runtime.now() + 500_000);
  const stop = new AbortController();
  const running = patient.reaper.run(stop.signal);
  await until(() => stage.runtime.sleeping() > 0);
  const queries = countQueries();
  await stage.runtime.advance(499_999);
  expect(queries.names).toEqual([]);
  await stage.runtime.advance(1);
  await until(() => stage.warehouse.live.size === 0);
  await until(() => stage.runtime.sleeping() > 0);
  await plant(1, 'warehouse', stage.runtime.now());
  patient.reaper.wake();
  await until(() => stage.warehouse.live.size === 0);
  stop.abort();
  await running;
});

test('run: a dead target with 500 due leases does not keep another waiting, and is not asked in a tight loop', async () => {
  await plant(500, 'warehouse', stage.runtime.now());
  await plant(60, 'cache', stage.runtime.now() + 1);
  stage.warehouse.fault = (call) => {
    if (call === 'end') throw new ProviderError('target-unreachable', 'connection refused');
  };
  const stop = new AbortController();
  const running = hallpass.reaper.run(stop.signal);
  await drive(stage.runtime, until(() => stage.cache.live.size === 0) as Promise<void>, 1);
  expect(stage.warehouse.live.size).toBe(500);
  // Its breaker is open: the loop now rests its idle time between two looks.
  await until(() => stage.runtime.sleeping() > 0);
  const queries = countQueries();
  for (let i = 0; i < 40; i++) {
    await stage.runtime.advance(50);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(queries.names.filter((name) => name === 'claim_due').length).toBeLessThanOrEqual(10);
  stop.abort();
  await running;
  stage.warehouse.fault = () => {};
  for (let i = 0; i < 100 && stage.warehouse.live.size > 0; i++) {
    stage.runtime.jump(5_000);
    await hallpass.reap();
  }
  expect(stage.warehouse.live.size).toBe(0);
});

test('run: ends what it began before it returns', async () => {
  await plant(3, 'warehouse', stage.runtime.now());
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  let begun = 0;
  stage.warehouse.fault = (_call, phase) => {
    if (phase === 'after') return;
    begun++;
    return gate;
  };
  const stop = new AbortController();
  let stopped = false;
  const running = hallpass.reaper.run(stop.signal).then(() => {
    stopped = true;
  });
  await until(() => begun === 3);
  stop.abort();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(stopped).toBe(false);
  release();
  await running;
  expect(stage.warehouse.live.size).toBe(0);
});

test('run: a store that is away is waited for, and what is due is done when it is back', async () => {
  await plant(5, 'warehouse', stage.runtime.now());
  const { query } = stage.database;
  Object.assign(stage.database, { query: () => Promise.reject(new Error('away')) });
  const stop = new AbortController();
  const running = hallpass.reaper.run(stop.signal);
  await stage.runtime.advance(30_000);
  expect(stage.warehouse.live.size).toBe(5);
  Object.assign(stage.database, { query });
  await stage.runtime.advance(1_000);
  await until(() => stage.warehouse.live.size === 0);
  stop.abort();
  await running;
});

test('tick: a commit that is shed leaves the lease to its claim, and the next attempt ends it', async () => {
  const [lease] = await plant(1, 'warehouse', stage.runtime.now());
  const { commit } = hallpass.broker.committer;
  Object.assign(hallpass.broker.committer, {
    commit: (unit: Parameters<typeof commit>[0]) =>
      unit.changedLeases?.some(({ state }) => state === 'ended')
        ? Promise.reject(new Error('overloaded'))
        : commit(unit),
  });
  await hallpass.reap();
  expect(stage.warehouse.live.size).toBe(0);
  expect(await stage.lease(lease!.id)).toMatchObject({ state: 'ending', outcome: null });
  Object.assign(hallpass.broker.committer, { commit });
  stage.runtime.jump(60_000);
  await hallpass.reap();
  expect(await stage.lease(lease!.id)).toMatchObject({ state: 'ended', outcome: 'revoked' });
});

test('tick: tasks whose time is up are closed without waiting for their targets', async () => {
  const opened = await stage.open(hallpass);
  stage.runtime.jump(4 * 3_600_000);
  const open = stage.database.query<{ state: string }>;
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  stage.warehouse.fault = () => gate;
  // The claim is stuck at the target; a look that finds nothing to claim closes the task all the same.
  const stuck = hallpass.reaper.tick();
  await until(() => hallpass.broker.targets.get('warehouse')!.ending.room(stage.runtime.now()) === 15);
  const other = await stage.start();
  await other.reaper.tick();
  const rows = await open({ name: 'test_task', text: 'select state from task where id = $1' }, [
    opened.taskId,
  ]);
  expect(rows).toEqual([{ state: 'ended' }]);
  release();
  await stuck;
  await stage.check();
});

test('tick: what has to be tidied is gone on with at once where one look does not take all of it', async () => {
  const { runtime, database } = stage;
  const { committer } = hallpass.broker;
  const lapsed = Array.from({ length: 1_200 }, (_, n) => ({
    id: `jti:${n}`,
    usedFor: 'a request',
    keepUntil: runtime.now() - 1,
  }));
  await committer.commit({ evidence: lapsed, events: [] });
  const tasks = Array.from({ length: 600 }, () => taskRow(runtime, { expiresAt: runtime.now() - 1 }));
  await Promise.all(tasks.map((newTask) => committer.commit({ newTask, events: [] })));
  for (let look = 0; look < 3; look++) await hallpass.reaper.tick();
  const left = await database.query(
    {
      name: 'test_untidy',
      text: `select (select count(*)::int from used_evidence) as evidence,
               (select count(*)::int from task where state = 'open') as tasks`,
    },
    [],
  );
  expect(left).toEqual([{ evidence: 0, tasks: 0 }]);
});

test('catchUp: ends all that is due, more than its target takes at once, and goes on while one of them is slow', async () => {
  await plant(100, 'warehouse', stage.runtime.now());
  const [slow] = [...stage.warehouse.live.keys()];
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  stage.warehouse.fault = (_call, phase, { name }) =>
    name === slow && phase === 'before' ? gate : undefined;
  const caughtUp = hallpass.reaper.catchUp();
  await until(() => stage.warehouse.live.size === 1, 'all but the slow one to end');
  release();
  await caughtUp;
  expect(stage.warehouse.live.size).toBe(0);
});

test('run, tick: by a clock that is wrong nothing is claimed; when it is right again, it goes on', async () => {
  const { runtime, warehouse } = stage;
  let fault: string | null = 'an hour ahead';
  const asked = async () => fault;
  const wrong = await stage.start({ clock: { fault: asked, compare: asked } });
  await plant(3, 'warehouse', runtime.now() + 1_800_000);
  const { names } = countQueries();
  runtime.jump(3_600_000);
  expect(await wrong.reaper.tick()).toBe(0);
  const stopping = new AbortController();
  const running = wrong.reaper.run(stopping.signal);
  for (let second = 0; second < 3; second++) await runtime.advance(1_000);
  expect(names).toEqual([]);
  expect(wrong.logged.filter((line) => line.includes('waits for the clock'))).toHaveLength(1);
  fault = null;
  await drive(
    runtime,
    until(() => warehouse.live.size === 0, 'the endings'),
  );
  stopping.abort();
  await drive(runtime, running);
});
