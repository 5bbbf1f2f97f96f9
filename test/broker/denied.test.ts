import { afterAll, afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { ProviderError } from '../../src/errors.ts';
import type { EndableTarget } from '../../src/providers/provider.ts';
import { sweepTarget } from '../../src/reaper/sweep.ts';
import type { Database } from '../../src/store/database.ts';
import { fakeProvider, type MemoryOptions, type MemoryWorld } from '../fakes/provider.ts';
import { asking, createTestBroker, type TestBroker, value, WORKLOAD } from '../support/broker.ts';
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
  await start();
});
afterEach(() => database.close());
afterAll(() => store.stop());

/** A broker over a target that denies, with a delay. */
async function start(options: Partial<MemoryOptions> = {}): Promise<void> {
  world = fakeProvider({ now: runtime.now, denialDelayMs: 300_000, ...options });
  hallpass = await createTestBroker({
    database,
    runtime,
    worlds: { warehouse: world },
    settings: { ends: 'denied' },
  });
}

async function completedTask(ttlSeconds: number): Promise<string> {
  const opened = value(await hallpass.verbs.openTask(WORKLOAD, asking({ ttlSeconds })));
  const caller = value(await hallpass.verbs.identify({ kind: 'bearer', token: opened.token ?? '' }, 'test'));
  await hallpass.verbs.completeTask(caller, opened.task.id, 0);
  return opened.credentials[0]!.lease.id;
}

async function outcomeOf(leaseId: string): Promise<unknown> {
  const events = await hallpass.events();
  return events.find((event) => event.kind === 'lease.ended' && event.about.lease === leaseId)?.data;
}

test('settle: a denial that is in force before its credential lapses is told as denied', async () => {
  const lease = await completedTask(900);
  expect(await outcomeOf(lease)).toBeUndefined();
  runtime.jump(300_000);
  await hallpass.reap();
  expect(await outcomeOf(lease)).toMatchObject({ outcome: 'denied' });
});

test('settle: a credential that lapses before its denial is in force is told as expired', async () => {
  const lease = await completedTask(60);
  runtime.jump(300_000);
  await hallpass.reap();
  expect(await outcomeOf(lease)).toMatchObject({ outcome: 'expired' });
});

test('settle: what lapses before its denial is in force has expired by any clock that may be right, not by ours alone', async () => {
  const lease = await completedTask(300);
  runtime.jump(304_999);
  await hallpass.reap();
  expect(await outcomeOf(lease)).toBeUndefined();
  runtime.jump(1);
  await hallpass.reap();
  expect(await outcomeOf(lease)).toMatchObject({
    outcome: 'expired',
    evidence: { denied: { denial: { denied: true } }, received: true },
  });
});

test('settle: where the target does not expire its credentials, a denial is never told as expired', async () => {
  await start({ targetExpires: false });
  const lease = await completedTask(60);
  runtime.jump(300_000);
  await hallpass.reap();
  expect(await outcomeOf(lease)).toMatchObject({ outcome: 'denied' });
});

test('settle: a denial is told when it is in force, and not a moment before', async () => {
  await start({ denialDelayMs: 1 });
  const lease = await completedTask(900);
  expect(await outcomeOf(lease)).toBeUndefined();
  runtime.jump(1);
  await hallpass.reap();
  expect(await outcomeOf(lease)).toMatchObject({ outcome: 'denied' });
});

test('settle: what the target says has lapsed is told as expired', async () => {
  const target = hallpass.broker.targets.get('warehouse')!.target as {
    -readonly [K in keyof EndableTarget]: EndableTarget[K];
  };
  target.end = async () => ({ found: false, lapsed: true, evidence: {} });
  expect(await outcomeOf(await completedTask(900))).toMatchObject({ outcome: 'expired' });
});

test.each(['denied', 'confirmed'] as const)(
  'settle: a target that finds nothing by the name alone cannot say that nothing was made (%s)',
  async (ends) => {
    const blind = fakeProvider({ now: runtime.now, settles: 'bounded-by-ttl' });
    const fresh = await store.open();
    onTestFinished(() => fresh.close());
    hallpass = await createTestBroker({
      database: fresh,
      runtime,
      worlds: { warehouse: blind },
      settings: { ends },
    });
    blind.fault = (call, phase) => {
      if (call === 'mint' && phase === 'after')
        throw new ProviderError('target-unreachable', 'its answer is lost');
    };
    const target = hallpass.broker.targets.get('warehouse')!.target as {
      -readonly [K in keyof EndableTarget]: EndableTarget[K];
    };
    target.end = async () => ({ found: false, evidence: {} });
    await hallpass.verbs.openTask(WORKLOAD, asking({ ttlSeconds: 900 }));
    runtime.jump(60_000);
    await hallpass.reap();
    const outcome = async () => (await hallpass.events()).find(({ kind }) => kind === 'lease.ended')?.data;
    expect(await outcome()).toEqual(
      ends === 'denied' ? expect.objectContaining({ outcome: 'denied' }) : undefined,
    );
    runtime.jump(900_000);
    await hallpass.reap();
    expect(await outcome()).toMatchObject({ outcome: ends === 'denied' ? 'denied' : 'expired' });
  },
);

test('sweepTarget: lets a target tidy what its endings left', async () => {
  const live = hallpass.broker.targets.get('warehouse')!;
  const target = live.target as { -readonly [K in keyof EndableTarget]: EndableTarget[K] };
  let tidied = 0;
  target.tidy = async () => void tidied++;
  await sweepTarget(hallpass.broker, live, new AbortController().signal);
  expect(tidied).toBe(1);
});
