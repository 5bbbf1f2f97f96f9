import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { Caller } from '../../src/broker/verbs.ts';
import { ProviderError } from '../../src/errors.ts';
import type { Database } from '../../src/store/database.ts';
import { fakeProvider, type MemoryWorld } from '../fakes/provider.ts';
import { asking, createTestBroker, reason, type TestBroker, value, WORKLOAD } from '../support/broker.ts';
import { createTestRuntime, type TestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let database: Database;
let runtime: TestRuntime;
let world: MemoryWorld;
let hallpass: TestBroker;

beforeEach(async () => {
  database = await store.open();
  runtime = createTestRuntime();
  world = fakeProvider({ now: runtime.now });
  hallpass = await start();
});
afterEach(() => database.close());
afterAll(() => store.stop());

function start(over = {}): Promise<TestBroker> {
  return createTestBroker({ database, runtime, worlds: { warehouse: world }, ...over });
}

async function holder(token: string | null): Promise<Caller> {
  return value(await hallpass.verbs.identify({ kind: 'bearer', token: token ?? '' }, 'test'));
}

test('lifecycle: a task gets a working credential, completes, and the credential is gone, with its story in the log', async () => {
  const opened = value(await hallpass.verbs.openTask(WORKLOAD, asking()));
  const secret = opened.credentials[0]!.secret!;
  expect(world.use(secret)).toBe(true);
  expect([...world.live.values()][0]?.scope).toMatchObject({ role: 'reader_eu' });

  const caller = await holder(opened.token);
  const { leases, task } = value(await hallpass.verbs.completeTask(caller, opened.task.id, 0));
  expect(world.use(secret)).toBe(false);
  expect(task).toMatchObject({ state: 'ended', endReason: 'completed', exitStatus: 0 });
  expect(leases).toMatchObject([{ state: 'ended', outcome: 'revoked', endReason: 'completed', dueAt: null }]);
  expect((await hallpass.events()).map((event) => event.kind)).toEqual([
    'task.opened',
    'lease.intended',
    'lease.issued',
    'task.ended',
    'lease.ending',
    'lease.ended',
  ]);
});

test('lifecycle: an expired lease is ended by the reaper', async () => {
  const opened = value(await hallpass.verbs.openTask(WORKLOAD, asking({ ttlSeconds: 60 })));
  runtime.jump(59_999);
  await hallpass.reap();
  expect(world.live.size).toBe(1);
  runtime.jump(1);
  await hallpass.reap();
  expect(world.live.size).toBe(0);
  const lease = value(
    await hallpass.verbs.readLease(await holder(opened.token), opened.credentials[0]!.lease.id),
  );
  expect(lease).toMatchObject({ outcome: 'revoked', endReason: 'expired' });
});

test('mint: a refusal of the target ends the lease as never minted', async () => {
  world.fault = (call, phase) => {
    if (call === 'mint' && phase === 'before') throw new ProviderError('target-refused', 'no such role');
  };
  expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('mint-failed');
  const ended = (await hallpass.events()).find((event) => event.kind === 'lease.ended');
  expect(ended).toMatchObject({ data: { outcome: 'never-minted', reason: 'mint-failed' } });
});

test('mint: failed but created: the credential is found by its name and ended once the window is over', async () => {
  world.fault = (call, phase) => {
    if (call === 'mint' && phase === 'after')
      throw new ProviderError('target-unreachable', 'connection reset');
  };
  expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('mint-failed');
  expect(world.live.size).toBe(1);
  await hallpass.reap();
  expect(world.live.size).toBe(1);
  runtime.jump(20_000);
  await hallpass.reap();
  expect(world.live.size).toBe(0);
  const ended = (await hallpass.events()).find((event) => event.kind === 'lease.ended');
  expect(ended).toMatchObject({ data: { outcome: 'revoked', reason: 'mint-failed' } });
});
