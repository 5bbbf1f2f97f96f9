import type { Caller, OpenedTask, OpenTask } from '../../src/broker/verbs.ts';
import type { Database } from '../../src/store/database.ts';
import { readLease } from '../../src/store/leases.ts';
import type { LeaseRow } from '../../src/store/rows.ts';
import { fakeProvider, type MemoryOptions, type MemoryWorld } from '../fakes/provider.ts';
import {
  asking,
  createTestBroker,
  type TestBroker,
  type TestBrokerOptions,
  value,
  WORKLOAD,
} from './broker.ts';
import { checkInvariants } from './invariants.ts';
import { createTestRuntime, type TestRuntime } from './runtime.ts';
import type { StoreUnderTest } from './stores.ts';

/** A database, two targets and a clock, on which brokers come and go; and a check of everything at the end. */
export interface Stage {
  readonly database: Database;
  readonly runtime: TestRuntime;
  readonly warehouse: MemoryWorld;
  readonly cache: MemoryWorld;
  /** Another broker over the same database and targets. */
  start(over?: Partial<TestBrokerOptions>): Promise<TestBroker>;
  /** Opens a task as the workload, and gives its holder with it. */
  open(hallpass: TestBroker, ask?: Partial<OpenTask>): Promise<Opened>;
  lease(id: string): Promise<LeaseRow>;
  /** Checks every invariant over all brokers that were started. */
  check(): Promise<void>;
  close(): Promise<void>;
}

export interface Opened {
  readonly opened: OpenedTask;
  readonly holder: Caller;
  readonly taskId: string;
  /** Of its first credential. */
  readonly leaseId: string;
}

export async function createStage(
  store: StoreUnderTest,
  options: Partial<MemoryOptions> = {},
): Promise<Stage> {
  const database = await store.open();
  const runtime = createTestRuntime();
  const warehouse = fakeProvider({ now: runtime.now, ...options });
  const cache = fakeProvider({ now: runtime.now, ...options });
  const worlds = { warehouse, cache };
  const brokers: TestBroker[] = [];
  const tokens: string[] = [];
  return {
    database,
    runtime,
    warehouse,
    cache,
    async start(over = {}) {
      const hallpass = await createTestBroker({ database, runtime, worlds, ...over });
      brokers.push(hallpass);
      return hallpass;
    },
    async open(hallpass, ask = {}) {
      const opened = value(await hallpass.verbs.openTask(WORKLOAD, asking(ask)));
      const token = opened.token ?? '';
      tokens.push(token);
      const holder = value(await hallpass.verbs.identify({ kind: 'bearer', token }, 'test'));
      return { opened, holder, taskId: opened.task.id, leaseId: opened.credentials[0]!.lease.id };
    },
    async lease(id) {
      const lease = await readLease(database, id);
      if (lease === null) throw new Error(`there is no lease ${id}`);
      return lease;
    },
    async check() {
      await checkInvariants(database, {
        now: runtime.now(),
        worlds,
        mark: brokers[0]!.broker.mark,
        logged: brokers.flatMap((hallpass) => hallpass.logged),
        secrets: tokens,
      });
    },
    close: () => database.close(),
  };
}
