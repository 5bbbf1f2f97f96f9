import { afterAll, expect, test } from 'vitest';
import type { Caller } from '../../src/broker/verbs.ts';
import type { Database } from '../../src/store/database.ts';
import { fakeProvider, type MemoryWorld } from '../fakes/provider.ts';
import {
  asking,
  createTestBroker,
  REPORT_GRANT,
  type TestBroker,
  value,
  WORKLOAD,
} from '../support/broker.ts';
import { createMortal, type KillPoint, type Mortal } from '../support/crash.ts';
import { drive } from '../support/drive.ts';
import { checkInvariants } from '../support/invariants.ts';
import { createTestRuntime, type TestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
afterAll(() => store.stop());

const GRANTS = {
  report: {
    ...(REPORT_GRANT as Record<string, never>),
    heartbeat: '60s',
    limits: { live_leases: 1_000 },
    credentials: {
      db: { target: 'warehouse', ttl: { default: '5m', max: '1h', cap: '4h' }, scope: { role: 'reader' } },
      cache: { target: 'cache', ttl: { default: '5m', max: '1h', cap: '4h' }, scope: { role: 'writer' } },
    },
  },
};

/** One database, two targets and a clock that outlive the brokers. */
interface Scene {
  readonly database: Database;
  readonly runtime: TestRuntime;
  readonly worlds: { readonly warehouse: MemoryWorld; readonly cache: MemoryWorld };
  readonly logged: string[];
}

/** The task that a step works on, if it needs one, and who holds it. */
interface Prepared {
  readonly hallpass: TestBroker;
  readonly caller: Caller;
  readonly taskId: string;
  readonly leaseId: string;
}

interface Step {
  /** Opens a task before the count begins. */
  readonly prepares: boolean;
  /** Waits of random length make the number of its calls differ by a few. */
  readonly unsteady?: boolean;
  run(prepared: Prepared, scene: Scene): Promise<unknown>;
}

const STEPS: Readonly<Record<string, Step>> = {
  issue: {
    prepares: false,
    run: ({ hallpass }) => hallpass.verbs.openTask(WORKLOAD, asking()),
  },
  'issue that the target refuses': {
    prepares: false,
    run: async ({ hallpass }, { worlds }) => {
      worlds.cache.fault = (call, phase) => {
        if (call === 'mint' && phase === 'after') throw new Error('failed, but it was created');
      };
      await hallpass.verbs.openTask(WORKLOAD, asking());
    },
  },
  'end what was made and never issued': {
    prepares: false,
    run: async ({ hallpass }, { worlds, runtime }) => {
      worlds.cache.fault = (call, phase) => {
        if (call === 'mint' && phase === 'after') throw new Error('failed, but it was created');
      };
      await hallpass.verbs.openTask(WORKLOAD, asking({ credentials: ['cache'] }));
      runtime.jump(20_000);
      await hallpass.reap();
    },
  },
  add: {
    prepares: true,
    run: ({ hallpass, caller, taskId }) =>
      hallpass.verbs.addCredentials(caller, taskId, { credentials: ['db'], ttlSeconds: null }),
  },
  renew: {
    prepares: true,
    run: ({ hallpass, caller, leaseId }) => hallpass.verbs.renewLease(caller, leaseId, 1800),
  },
  heartbeat: {
    prepares: true,
    run: ({ hallpass, caller, taskId }) => hallpass.verbs.heartbeat(caller, taskId),
  },
  complete: {
    prepares: true,
    run: ({ hallpass, caller, taskId }) => hallpass.verbs.completeTask(caller, taskId, 0),
  },
  revoke: {
    prepares: true,
    run: ({ hallpass, caller, leaseId }) => hallpass.verbs.revokeLease(caller, leaseId, 'no longer needed'),
  },
  'end a missed heartbeat': {
    prepares: true,
    run: async ({ hallpass }, { runtime }) => {
      runtime.jump(61_000);
      await hallpass.reap();
    },
  },
  'end by expiry': {
    prepares: true,
    run: async ({ hallpass }, { runtime }) => {
      runtime.jump(301_000);
      await hallpass.reap();
    },
  },
  'end after a failure': {
    prepares: true,
    unsteady: true,
    run: async ({ hallpass, caller, taskId }, { worlds, runtime }) => {
      let failures = 1;
      worlds.warehouse.fault = (call, phase) => {
        if (call === 'end' && phase === 'after' && failures-- > 0)
          throw new Error('timed out, but it was deleted');
      };
      await hallpass.verbs.completeTask(caller, taskId, 0);
      for (let i = 0; i < 2; i++) {
        runtime.jump(5_000);
        await hallpass.reap();
      }
    },
  },
};

async function createScene(): Promise<Scene> {
  const runtime = createTestRuntime();
  const worlds = {
    warehouse: fakeProvider({ now: runtime.now }),
    cache: fakeProvider({ now: runtime.now }),
  };
  return { database: await store.open(), runtime, worlds, logged: [] };
}

async function startBroker(scene: Scene, mortal: Mortal | null): Promise<TestBroker> {
  const { database, runtime, worlds } = scene;
  return createTestBroker({
    database: mortal ? mortal.database(database) : database,
    runtime,
    grants: GRANTS,
    worlds: mortal
      ? { warehouse: mortal.world(worlds.warehouse), cache: mortal.world(worlds.cache) }
      : worlds,
  });
}

/** Runs a step with a broker that dies at the point, then lets another one finish. Returns the calls that were made. */
async function live(scene: Scene, step: Step, point: KillPoint | null): Promise<readonly string[]> {
  const { database, runtime, worlds } = scene;
  const mortal = createMortal();
  const first = await startBroker(scene, mortal);
  const prepared: Prepared = { hallpass: first, caller: WORKLOAD, taskId: '', leaseId: '' };
  if (step.prepares) {
    const opened = value(await first.verbs.openTask(WORKLOAD, asking()));
    const caller = value(await first.verbs.identify({ kind: 'bearer', token: opened.token! }, 'test'));
    Object.assign(prepared, { caller, taskId: opened.task.id, leaseId: opened.credentials[0]!.lease.id });
  }
  mortal.arm(point);
  await drive(runtime, Promise.race([step.run(prepared, scene), mortal.died]));
  if (!step.unsteady) expect(mortal.dead, 'the point was reached').toBe(point !== null);
  const { calls } = mortal;
  mortal.kill();
  worlds.warehouse.fault = () => {};
  worlds.cache.fault = () => {};

  const next = await startBroker(scene, null);
  await drive(runtime, next.reap());
  const witness = {
    get now() {
      return runtime.now();
    },
    worlds,
    mark: next.broker.mark,
    get logged() {
      return [...scene.logged, ...first.logged, ...next.logged];
    },
  };
  await checkInvariants(database, witness);
  // Past the mint window, the claim of the dead, the heartbeat, the lifetime, the renewed one, and the cap.
  for (const ms of [20_000, 60_000, 61_000, 300_000, 1_800_000, 14_400_000]) {
    runtime.jump(ms);
    await drive(runtime, next.reap());
  }
  await checkInvariants(database, witness);
  expect(worlds.warehouse.live.size + worlds.cache.live.size).toBe(0);
  const open = await database.query<{ tasks: number; leases: number }>(
    {
      name: 'test_open',
      text: `select (select count(*)::int from task where state = 'open') as tasks,
                    (select count(*)::int from lease where state <> 'ended') as leases`,
    },
    [],
  );
  expect(open).toEqual([{ tasks: 0, leases: 0 }]);
  scene.logged.push(...first.logged, ...next.logged);
  return calls;
}

for (const [name, step] of Object.entries(STEPS)) {
  test(`kill points: ${name}: the broker dies before and after each of its calls, and another one finishes`, async () => {
    const scene = await createScene();
    const calls = await live(scene, step, null);
    expect(calls.length).toBeGreaterThanOrEqual(1);
    for (let call = 1; call <= calls.length; call++) {
      for (const phase of ['before', 'after'] as const) {
        await live(scene, step, { call, phase }).catch((error: unknown) => {
          throw new Error(`dead ${phase} call ${call} (${calls[call - 1]}) of ${calls.join(', ')}`, {
            cause: error,
          });
        });
      }
    }
    await scene.database.close();
  });
}
