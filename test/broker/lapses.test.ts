import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { endClaimed } from '../../src/broker/end.ts';
import type { EndableTarget, ProviderKind } from '../../src/providers/provider.ts';
import type { Database } from '../../src/store/database.ts';
import { claimDue } from '../../src/store/leases.ts';
import { fakeProvider } from '../fakes/provider.ts';
import { asking, createTestBroker, type TestBroker, value, WORKLOAD } from '../support/broker.ts';
import { createTestRuntime, type TestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let database: Database;
let runtime: TestRuntime;
let hallpass: TestBroker;
/** What is wrong with the broker's clock. */
let clockFault: string | null;

/** A target where a part of each credential cannot be withdrawn, like a certificate. */
function halfLapsing(kind: ProviderKind): ProviderKind {
  return {
    ...kind,
    open(settings, context) {
      const target = kind.open(settings, context) as EndableTarget;
      return {
        ...target,
        end: async (ending, signal) => ({
          ...(await target.end(ending, signal)),
          lapsesAt: ending.expiresAt,
        }),
      };
    },
  };
}

beforeEach(async () => {
  database = await store.open();
  runtime = createTestRuntime();
  const world = fakeProvider({ now: runtime.now });
  const worlds = { warehouse: { ...world, provider: halfLapsing(world.provider as ProviderKind) as never } };
  clockFault = null;
  const fault = async () => clockFault;
  hallpass = await createTestBroker({ database, runtime, worlds, clock: { fault, compare: fault } });
});
afterEach(() => database.close());
afterAll(() => store.stop());

test('endTask: what a target cannot withdraw is not revoked: its lease ends when it has lapsed, as expired', async () => {
  const opened = value(await hallpass.verbs.openTask(WORKLOAD, asking({ ttlSeconds: 600 })));
  const token = { kind: 'bearer', token: opened.token ?? '' } as const;
  const caller = value(await hallpass.verbs.identify(token, 'test'));
  const { leases } = value(await hallpass.verbs.completeTask(caller, opened.task.id, 0));
  expect(leases).toMatchObject([{ state: 'ending', outcome: null }]);
  // At its instant by this clock, which may be ahead of the target's by as much as is tolerated.
  runtime.jump(604_999);
  await hallpass.reap();
  expect((await hallpass.events()).some(({ kind }) => kind === 'lease.ended')).toBe(false);
  runtime.jump(1);
  await hallpass.reap();
  const ended = (await hallpass.events()).filter(({ kind }) => kind === 'lease.ended');
  expect(ended).toMatchObject([{ data: { outcome: 'expired', evidence: { received: true } } }]);
  expect(hallpass.logged.filter((line) => line.includes('ending failed'))).toEqual([]);
});

test('settle: by a clock that jumped after the claim nothing has expired; whoever is next looks again', async () => {
  value(await hallpass.verbs.openTask(WORKLOAD, asking({ ttlSeconds: 600 })));
  runtime.jump(601_000);
  await hallpass.reap();
  const [claimed] = await claimDue(database, [{ target: 'warehouse', room: 1 }], runtime.now() + 60_000, 0);
  runtime.jump(3_600_000);
  clockFault = 'an hour ahead';
  await endClaimed(hallpass.broker, claimed!);
  expect((await hallpass.events()).some(({ kind }) => kind === 'lease.ended')).toBe(false);
  runtime.jump(-3_600_000 + 60_000);
  clockFault = null;
  await hallpass.reap();
  expect((await hallpass.events()).filter(({ kind }) => kind === 'lease.ended')).toMatchObject([
    { data: { outcome: 'expired' } },
  ]);
});
