import { afterAll, afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { fakeProvider, type MemoryWorld } from '../fakes/provider.ts';
import {
  asking,
  callerOf,
  createTestBroker,
  reason,
  type TestBroker,
  value,
  WORKLOAD,
} from '../support/broker.ts';
import { drive } from '../support/drive.ts';
import { createTestRuntime } from '../support/runtime.ts';
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

test('revokeLease: ends one lease, for its reason, and leaves the task and its others', async () => {
  const { holder, taskId, leaseId } = await stage.open(hallpass);
  value(await hallpass.verbs.addCredentials(holder, taskId, { credentials: ['db'], ttlSeconds: null }));
  const lease = value(await hallpass.verbs.revokeLease(holder, leaseId, 'leaked into a log'));
  expect(lease).toMatchObject({ state: 'ended', outcome: 'revoked', endReason: 'revoked' });
  expect(stage.warehouse.live.size).toBe(1);
  const event = (await hallpass.events()).find(({ kind }) => kind === 'lease.ending');
  expect(event?.data).toEqual({ reason: 'revoked', note: 'leaked into a log' });
});

test("revokeLease: another's lease cannot be revoked nor told from one that is not there; an operator can", async () => {
  const mine = await stage.open(hallpass);
  const other = await stage.open(hallpass);
  const answers = [
    await hallpass.verbs.revokeLease(other.holder, mine.leaseId, 'x'),
    await hallpass.verbs.revokeLease(other.holder, '0'.repeat(26), 'x'),
    await hallpass.verbs.revokeLease(WORKLOAD, mine.leaseId, 'x'),
    await hallpass.verbs.revokeLease(callerOf({}, ['auditor']), mine.leaseId, 'x'),
  ];
  expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
  expect(reason(answers[0]!)).toBe('not-found');
  expect(stage.warehouse.live.size).toBe(2);
  value(await hallpass.verbs.revokeLease(callerOf({}, ['operator']), mine.leaseId, 'x'));
  expect(stage.warehouse.live.size).toBe(1);
});

test('revokeLease: again and at once at two brokers changes nothing more', async () => {
  const other = await stage.start();
  const { holder, leaseId } = await stage.open(hallpass);
  const answers = await drive(
    stage.runtime,
    Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        (i % 2 ? other : hallpass).verbs.revokeLease(holder, leaseId, 'x'),
      ),
    ),
  );
  for (const answer of answers) expect(['ending', 'ended']).toContain(value(answer).state);
  expect(value(await hallpass.verbs.revokeLease(holder, leaseId, 'x')).state).toBe('ended');
  expect(stage.warehouse.calls.filter(({ call }) => call === 'end')).toHaveLength(1);
});

test('revokeLease: a commit that loses every race is no success', async () => {
  const { holder, leaseId } = await stage.open(hallpass);
  const { commit } = hallpass.broker.committer;
  Object.assign(hallpass.broker.committer, {
    commit: (unit: Parameters<typeof commit>[0]) =>
      unit.changedLeases ? Promise.resolve({ ok: false, error: 'version' }) : commit(unit),
  });
  await expect(hallpass.verbs.revokeLease(holder, leaseId, 'x')).rejects.toMatchObject({
    code: 'store-conflict',
  });
});

test('revokeLease: a target that is of another provider by now is not asked, and not believed', async () => {
  const database = await store.open();
  onTestFinished(() => database.close());
  const runtime = createTestRuntime();
  const [before, after] = ['memory', 'another'].map((kind) => fakeProvider({ now: runtime.now, kind }));
  const start = (world: MemoryWorld) => createTestBroker({ database, runtime, worlds: { warehouse: world } });
  const first = await start(before!);
  const { task, credentials } = value(await first.verbs.openTask(WORKLOAD, asking()));
  const { id } = credentials[0]!.lease;
  const operator = callerOf({}, ['operator']);

  const second = await start(after!);
  const answer = value(await second.verbs.revokeLease(operator, id, 'leaked'));
  expect(answer).toMatchObject({ state: 'ending', lastError: expect.stringContaining('"memory"') });
  runtime.jump(task.expiresAt - runtime.now() + 60_000);
  await second.reap();
  expect(value(await second.verbs.readLease(operator, id))).toMatchObject({ state: 'ending', outcome: null });
  expect(after!.calls).toEqual([]);
  expect(before!.live.size).toBe(1);

  const third = await start(before!);
  runtime.jump(3_600_000);
  await third.reap();
  expect(value(await third.verbs.readLease(operator, id))).toMatchObject({ outcome: 'revoked' });
  expect(before!.live.size).toBe(0);
});
