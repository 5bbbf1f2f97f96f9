import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { callerOf, reason, type TestBroker, value, WORKLOAD } from '../support/broker.ts';
import { drive } from '../support/drive.ts';
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
afterEach(async () => {
  await stage.check();
  await stage.close();
});
afterAll(() => store.stop());

test('completeTask: twenty times at once at two brokers ends the task once, and afterwards says how it stands', async () => {
  const other = await stage.start();
  const { holder, taskId } = await stage.open(hallpass);
  const answers = await drive(
    stage.runtime,
    Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? other : hallpass).verbs.completeTask(holder, taskId, i)),
    ),
  );
  for (const answer of answers) expect(value(answer).task.state).toBe('ended');
  expect(stage.warehouse.calls.filter(({ call }) => call === 'end')).toHaveLength(1);
  const again = value(await hallpass.verbs.completeTask(holder, taskId, 99));
  expect(again.task.exitStatus).not.toBe(99);
  expect(again.leases).toMatchObject([{ state: 'ended', outcome: 'revoked', endReason: 'completed' }]);
});

test('completeTask: by an operator it is revoked; by anybody else it is refused', async () => {
  const { holder, taskId } = await stage.open(hallpass);
  const other = await stage.open(hallpass);
  expect(reason(await hallpass.verbs.completeTask(other.holder, taskId, 0))).toBe('not-found');
  expect(reason(await hallpass.verbs.completeTask(WORKLOAD, taskId, 0))).toBe('not-found');
  expect(reason(await hallpass.verbs.completeTask(callerOf({}, ['auditor']), taskId, 0))).toBe('not-found');
  expect(reason(await hallpass.verbs.completeTask(holder, '0'.repeat(26), 0))).toBe('not-found');
  const { task } = value(await hallpass.verbs.completeTask(callerOf({}, ['operator']), taskId, null));
  expect(task).toMatchObject({ state: 'ended', endReason: 'revoked' });
  const ended = (await hallpass.events()).find((event) => event.kind === 'task.ended');
  expect(ended?.actor).toMatchObject({ kind: 'principal', subject: 'repo:acme/etl' });
});

test('completeTask: a target that is slow keeps the caller for a bounded time; the end goes on without him', async () => {
  const { holder, taskId, leaseId } = await stage.open(hallpass);
  let release = () => {};
  stage.warehouse.fault = (call, phase) =>
    call === 'end' && phase === 'before'
      ? new Promise<void>((resolve) => {
          release = resolve;
        })
      : undefined;
  const completing = hallpass.verbs.completeTask(holder, taskId, 0);
  const sleeping = stage.runtime.sleeping();
  await until(() => stage.runtime.sleeping() > sleeping, 'the end at the target');
  await stage.runtime.advance(20_000);
  const { task, leases } = value(await completing);
  expect(task.state).toBe('ended');
  expect(leases).toMatchObject([{ state: 'ending', outcome: null }]);
  release();
  await until(() => stage.warehouse.live.size === 0);
  stage.runtime.jump(60_000);
  await hallpass.reap();
  expect(await stage.lease(leaseId)).toMatchObject({ state: 'ended', outcome: 'revoked' });
});

test('completeTask: while a credential is being made, it is never handed out, and is ended by its handle', async () => {
  const { holder, taskId } = await stage.open(hallpass);
  let release: (() => void) | null = null;
  stage.warehouse.fault = (call, phase) =>
    call === 'mint' && phase === 'after'
      ? new Promise<void>((resolve) => {
          release = resolve;
        })
      : undefined;
  const adding = hallpass.verbs.addCredentials(holder, taskId, { credentials: ['db'], ttlSeconds: null });
  await until(() => release !== null);
  const { leases } = value(await hallpass.verbs.completeTask(holder, taskId, 0));
  expect(leases.map((lease) => lease.state).sort()).toEqual(['ended', 'ending']);
  release!();
  expect(reason(await adding)).toBe('task-ended');
  await hallpass.reap();
  expect(stage.warehouse.live.size).toBe(0);
  const after = value(await hallpass.verbs.readTask(holder, taskId)).leases;
  expect(after.map((lease) => lease.outcome)).toEqual(['revoked', 'revoked']);
});

test('completeTask: a commit that loses every race is no success', async () => {
  const { holder, taskId } = await stage.open(hallpass);
  const { commit } = hallpass.broker.committer;
  Object.assign(hallpass.broker.committer, {
    commit: (unit: Parameters<typeof commit>[0]) =>
      unit.changedTask ? Promise.resolve({ ok: false, error: 'version' }) : commit(unit),
  });
  await expect(hallpass.verbs.completeTask(holder, taskId, 0)).rejects.toMatchObject({
    code: 'store-conflict',
  });
  expect(stage.warehouse.live.size).toBe(1);
});
