import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { endWithdrawn } from '../../src/broker/withdraw.ts';
import { readTask } from '../../src/store/tasks.ts';
import { asking, REPORT_GRANT, reason, type TestBroker, WORKLOAD } from '../support/broker.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let stage: Stage;
/** A replica that still has the grant. */
let older: TestBroker;

const OTHER = { other: REPORT_GRANT };
const HOUSEKEEPING_MS = 30_000;

beforeEach(async () => {
  stage = await createStage(store);
  older = await stage.start({ grants: { report: REPORT_GRANT, ...OTHER } });
});
afterEach(async () => {
  await stage.check();
  await stage.close();
});
afterAll(() => store.stop());

test('endWithdrawn: what is open under the name ends, with its reason in the log, and nothing else', async () => {
  const { leaseId, taskId } = await stage.open(older);
  const kept = await stage.open(older, { grant: 'other' });
  const newer = await stage.start({ grants: OTHER, withdrawn: ['report'] });
  await newer.reap();
  await newer.reap();
  expect(await stage.lease(leaseId)).toMatchObject({ outcome: 'revoked', endReason: 'withdrawn' });
  expect((await stage.lease(kept.leaseId)).state).toBe('active');
  const ended = (await newer.events()).filter(({ kind }) => kind === 'task.ended');
  expect(ended).toMatchObject([{ about: { task: taskId }, data: { reason: 'withdrawn' } }]);
  expect(reason(await newer.verbs.openTask(WORKLOAD, asking()))).toBe('not-allowed');
});

test('endWithdrawn: what a replica with the older configuration opens later ends too', async () => {
  const newer = await stage.start({ grants: OTHER, withdrawn: ['report'] });
  await newer.reap();
  const { leaseId } = await stage.open(older);
  await stage.runtime.advance(HOUSEKEEPING_MS);
  await newer.reap();
  await newer.reap();
  expect((await stage.lease(leaseId)).endReason).toBe('withdrawn');
});

test('endWithdrawn: a grant that a configuration only leaves out ends nothing', async () => {
  const { leaseId } = await stage.open(older);
  const without = await stage.start({ grants: OTHER });
  await without.reap();
  await stage.runtime.advance(HOUSEKEEPING_MS);
  await without.reap();
  expect((await stage.lease(leaseId)).state).toBe('active');
});

test('endWithdrawn: takes a bounded number at a time, from whichever replica, each once', async () => {
  for (let i = 0; i < 5; i++) await stage.open(older);
  const newer = await stage.start({ grants: OTHER, withdrawn: ['report'] });
  expect(await endWithdrawn(newer.broker, 2)).toBe(2);
  const twin = await stage.start({ grants: OTHER, withdrawn: ['report'] });
  await Promise.all([endWithdrawn(newer.broker, 10), endWithdrawn(twin.broker, 10)]);
  expect(await endWithdrawn(newer.broker, 10)).toBe(0);
  const ended = (await newer.events()).filter(({ kind }) => kind === 'task.ended');
  expect(ended).toHaveLength(5);
  await newer.reap();
  expect(stage.warehouse.live.size).toBe(0);
});

test('endWithdrawn: a kill that came first keeps its reason', async () => {
  const { taskId, leaseId } = await stage.open(older);
  await stage.database.query(
    { name: 'as_a_kill_does', text: "update task set end_reason = 'killed' where id = $1" },
    [taskId],
  );
  const newer = await stage.start({ grants: OTHER, withdrawn: ['report'] });
  expect(await endWithdrawn(newer.broker, 10)).toBe(0);
  expect(await readTask(stage.database, taskId)).toMatchObject({ state: 'open', endReason: 'killed' });
  expect((await stage.lease(leaseId)).state).toBe('active');
});
