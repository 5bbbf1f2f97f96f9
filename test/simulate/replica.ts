import type { Json } from '../../src/json.ts';
import type { BrokerLimits } from '../../src/limits.ts';
import { runSweeps } from '../../src/reaper/sweep.ts';
import type { Runtime } from '../../src/runtime.ts';
import type { MemorySettings } from '../fakes/provider.ts';
import { createTestBroker, REPORT_GRANT, type TestBroker } from '../support/broker.ts';
import type { Land } from './land.ts';
import { LIVE_LIMIT } from './ledger.ts';
import type { Mutation } from './mutations.ts';
import { heardBy, type Owner } from './owner.ts';
import type { Schedule } from './schedule.ts';
import type { Wire } from './wire.ts';

/** A replica's place: it is started there, dies, and is started again. */
export interface Replica {
  readonly name: string;
  /** How far its clock is ahead of true time, in milliseconds. */
  skewMs: number;
  owner: Owner | null;
  /** Null while it starts. */
  hallpass: TestBroker | null;
}

export interface Surroundings {
  readonly schedule: Schedule;
  readonly wire: Wire;
  readonly lands: ReadonlyMap<string, Land>;
  readonly ends: MemorySettings['ends'];
  readonly mutation: Mutation | null;
  /** Everything that any replica's process log said. */
  readonly logs: (readonly string[])[];
}

/** Small enough that waits, full lanes and open breakers are met within a history. */
const LIMITS: Partial<BrokerLimits> = {
  mintConcurrency: 2,
  mintQueue: 3,
  endConcurrency: 2,
  endRetryCapMs: 20_000,
  breakerFailures: 3,
  reaperIdleMs: 15_000,
  sweepEveryMs: 45_000,
};

const REPORT = REPORT_GRANT as Record<string, Json>;
const DB = {
  target: 'warehouse',
  ttl: { default: '20s', max: '45s', cap: '60s' },
  scope: { role: 'reader' },
};
const GRANTS = {
  report: { ...REPORT, credentials: { db: DB }, limits: { live_leases: LIVE_LIMIT } },
  beating: { ...REPORT, credentials: { db: DB, cache: { ...DB, target: 'cache' } }, heartbeat: '10s' },
};

/** Starts a broker in the replica's place, with its reaper and its sweeps. A start that fails is tried again. */
export async function startReplica(replica: Replica, around: Surroundings): Promise<void> {
  const { schedule, wire, lands, ends, mutation, logs } = around;
  const owner: Owner = { name: replica.name, alive: true };
  replica.owner = owner;
  replica.hallpass = null;
  const runtime = runtimeOf(replica, owner, schedule);
  const database = wire.seenBy(owner);
  while (owner.alive) {
    try {
      const hallpass = await createTestBroker({
        database: mutation?.database?.(database) ?? database,
        runtime,
        worlds: Object.fromEntries(
          [...lands].map(([name, land]) => {
            const world = land.seenBy(owner);
            return [name, mutation?.world?.(world) ?? world];
          }),
        ),
        settings: { ends },
        grants: GRANTS,
        limits: LIMITS,
      });
      mutation?.broker?.(hallpass);
      logs.push(hallpass.logged);
      replica.hallpass = hallpass;
      const forEver = new AbortController().signal;
      void hallpass.reaper.run(forEver);
      void runSweeps(hallpass.broker, forEver);
      return;
    } catch {
      await runtime.sleep(1_000);
    }
  }
}

/** What was begun goes on without it; nothing comes back to it. */
export function kill(replica: Replica): void {
  if (replica.owner) replica.owner.alive = false;
  replica.owner = null;
  replica.hallpass = null;
}

function runtimeOf(replica: Replica, owner: Owner, schedule: Schedule): Runtime {
  return {
    now: () => schedule.now() + replica.skewMs,
    sleep: (ms, signal) => heardBy(owner, () => schedule.sleep(ms, signal)),
    after(ms, then) {
      const cancelled = new AbortController();
      const slept = heardBy(owner, () => schedule.sleep(ms, cancelled.signal));
      slept.then(then, () => {});
      return () => cancelled.abort();
    },
    randomBytes: (size) => schedule.random.bytes(size),
    fetch: () => Promise.reject(new Error('nothing is fetched here')),
  };
}
