import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { Json } from '../../src/json.ts';
import { REPORT_GRANT, reason, type TestBroker, value, WORKLOAD } from '../support/broker.ts';
import { drive } from '../support/drive.ts';
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

const grants = { report: { ...(REPORT_GRANT as Record<string, Json>), heartbeat: '60s' } };

test('heartbeat: keeps a task alive, and silence ends it at its deadline with a word in the log', async () => {
  const broker = await stage.start({ grants });
  const { opened, taskId, leaseId } = await stage.open(broker);
  const token = opened.token ?? '';
  for (let i = 0; i < 5; i++) {
    stage.runtime.jump(59_999);
    await broker.reap();
    const holder = value(await broker.verbs.identify({ kind: 'bearer', token }, 'test'));
    const task = value(await broker.verbs.heartbeat(holder, taskId));
    expect(task.heartbeatDueAt).toBe(stage.runtime.now() + 60_000);
  }
  stage.runtime.jump(59_999);
  await broker.reap();
  expect(stage.warehouse.live.size).toBe(1);
  stage.runtime.jump(1);
  await broker.reap();
  expect(stage.warehouse.live.size).toBe(0);
  expect(await stage.lease(leaseId)).toMatchObject({ outcome: 'revoked', endReason: 'heartbeat-missed' });
  const kinds = (await broker.events()).map((event) => event.kind);
  expect(kinds.slice(-4)).toEqual(['task.heartbeat-missed', 'task.ended', 'lease.ending', 'lease.ended']);
});

test('heartbeat: after its deadline never revives, whether or not anybody looked', async () => {
  const broker = await stage.start({ grants });
  const { holder, taskId, leaseId } = await stage.open(broker);
  stage.runtime.jump(60_000);
  expect(reason(await broker.verbs.heartbeat(holder, taskId))).toBe('task-ended');
  expect(reason(await broker.verbs.renewLease(holder, leaseId, 1800))).toBe('task-ended');
  await broker.reap();
  expect(await stage.lease(leaseId)).toMatchObject({ state: 'ended', endReason: 'heartbeat-missed' });
  expect(reason(await broker.verbs.heartbeat(holder, taskId))).toBe('task-ended');
});

test('heartbeat: never moves a lease past its own expiry', async () => {
  const broker = await stage.start({ grants });
  const { holder, taskId, leaseId } = await stage.open(broker, { ttlSeconds: 30 });
  stage.runtime.jump(10_000);
  value(await broker.verbs.heartbeat(holder, taskId));
  const lease = await stage.lease(leaseId);
  expect(lease.dueAt).toBe(lease.expiresAt);
  stage.runtime.jump(20_000);
  await broker.reap();
  expect(await stage.lease(leaseId)).toMatchObject({ outcome: 'revoked', endReason: 'expired' });
  // The task is still there to ask for more.
  expect(value(await broker.verbs.heartbeat(holder, taskId)).state).toBe('open');
});

test('heartbeat: for a task that needs none says how it stands; somebody else is told nothing', async () => {
  const mine = await stage.open(hallpass);
  const other = await stage.open(hallpass);
  expect(value(await hallpass.verbs.heartbeat(mine.holder, mine.taskId)).heartbeatDueAt).toBeNull();
  expect(reason(await hallpass.verbs.heartbeat(other.holder, mine.taskId))).toBe('not-found');
  expect(reason(await hallpass.verbs.heartbeat(WORKLOAD, mine.taskId))).toBe('not-found');
});

test('heartbeat: racing with two reapers at its deadline, it is in time for both or for neither', async () => {
  const brokers = [await stage.start({ grants }), await stage.start({ grants })];
  const seen = new Set<string>();
  for (let round = 0; round < 12; round++) {
    const { holder, taskId, leaseId } = await stage.open(brokers[0]!);
    stage.runtime.jump(59_999);
    const heard = brokers[0]!.verbs.heartbeat(holder, taskId);
    if (round % 3 === 0) await heard;
    stage.runtime.jump(1);
    const reaped = brokers.map((broker) => broker.reap());
    const [answer] = await drive(stage.runtime, Promise.all([heard, ...reaped]));
    const lease = await stage.lease(leaseId);
    seen.add(`${answer.ok} ${lease.state}`);
    if (!answer.ok) expect(lease.state).toBe('ended');
    value(await brokers[1]!.verbs.completeTask(holder, taskId, 0));
  }
  // A heartbeat that was heard is heard by all: its task lives on.
  expect([...seen].filter((what) => what === 'true ended')).toEqual([]);
});

test('heartbeat: one that another replica took by its own clock while silence was being written stands', async () => {
  const broker = await stage.start({ grants });
  const runtime = { ...stage.runtime, now: () => stage.runtime.now() - 3_000 };
  const behind = await stage.start({ grants, runtime });
  const { holder, taskId, leaseId } = await stage.open(broker);
  stage.runtime.jump(60_000);
  const { committer } = broker.broker;
  let beaten = 0;
  const commit: typeof committer.commit = async (unit) => {
    const isEnd = unit.events.some(({ kind }) => kind === 'task.heartbeat-missed');
    if (isEnd && beaten++ === 0) value(await behind.verbs.heartbeat(holder, taskId));
    return committer.commit(unit);
  };
  Object.assign(broker.broker, { committer: { ...committer, commit } });
  await broker.reap();
  expect(beaten).toBe(1);
  const dueAt = stage.runtime.now() - 3_000 + 60_000;
  expect(await stage.lease(leaseId)).toMatchObject({ state: 'active', dueAt });
  stage.runtime.jump(57_000);
  await broker.reap();
  expect(await stage.lease(leaseId)).toMatchObject({ state: 'ended', endReason: 'heartbeat-missed' });
});
