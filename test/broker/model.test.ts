import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import type { Caller } from '../../src/broker/verbs.ts';
import { ProviderError } from '../../src/errors.ts';
import type { Json } from '../../src/json.ts';
import type { Fault, MemorySettings } from '../fakes/provider.ts';
import { asking, REPORT_GRANT, type TestBroker, WORKLOAD } from '../support/broker.ts';
import { createMortal, type Mortal } from '../support/crash.ts';
import { drive } from '../support/drive.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
afterAll(() => store.stop());

/** Everything a hundred times as quick, so that a history sees time-outs, retries and claims that lapse. */
const LIMITS = {
  mintTimeoutMs: 150,
  mintWindowMs: 200,
  endTimeoutMs: 300,
  claimMs: 600,
  endRetryFirstMs: 10,
  endRetryCapMs: 3_000,
  breakerOpenMs: 50,
  endWaitMs: 200,
  mintConcurrency: 2,
  endConcurrency: 2,
};

const REPORT = REPORT_GRANT as Record<string, Json>;
const DB = { target: 'warehouse', ttl: { default: '20s', max: '60s', cap: '2m' }, scope: { role: 'reader' } };
const GRANTS = {
  report: { ...REPORT, credentials: { db: DB }, limits: { live_leases: 4 } },
  beating: { ...REPORT, credentials: { db: DB, cache: { ...DB, target: 'cache' } }, heartbeat: '10s' },
};

/** What a target does wrong, from now on. */
const FAULTS: Readonly<Record<string, Fault>> = {
  none: () => {},
  refuses: (call, phase) => {
    if (call === 'mint' && phase === 'before') throw new ProviderError('target-refused', 'no');
  },
  'fails, but it was done': (_call, phase) => {
    if (phase === 'after') throw new ProviderError('target-unreachable', 'reset');
  },
  'is away': () => {
    throw new ProviderError('target-unreachable', 'refused');
  },
  'does not answer': (_call, phase) => (phase === 'before' ? new Promise<void>(() => {}) : undefined),
  'answers nobody': (_call, phase) => (phase === 'after' ? new Promise<void>(() => {}) : undefined),
};

type Move =
  | {
      readonly do: 'open';
      readonly broker: 0 | 1;
      readonly grant: 'report' | 'beating';
      readonly key: boolean;
    }
  | {
      readonly do: 'renew' | 'heartbeat' | 'complete' | 'revoke' | 'add';
      readonly broker: 0 | 1;
      readonly which: number;
    }
  | { readonly do: 'reap'; readonly broker: 0 | 1 }
  | { readonly do: 'crash'; readonly broker: 0 | 1 }
  | { readonly do: 'fault'; readonly target: 'warehouse' | 'cache'; readonly fault: string }
  | { readonly do: 'jump'; readonly ms: number }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'wait' };

const broker = fc.constantFrom(0 as const, 1 as const);
const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('open' as const),
      broker,
      grant: fc.constantFrom('report' as const, 'beating' as const),
      key: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'renew' as const,
        'heartbeat' as const,
        'complete' as const,
        'revoke' as const,
        'add' as const,
      ),
      broker,
      which: fc.nat(5),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('reap' as const), broker }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), broker }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('fault' as const),
      target: fc.constantFrom('warehouse' as const, 'cache' as const),
      fault: fc.constantFrom(...Object.keys(FAULTS)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('jump' as const),
      ms: fc.constantFrom(-500, 100, 600, 5_000, 9_999, 10_000, 20_000),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 20, 160) }) },
  { weight: 3, arbitrary: fc.constant({ do: 'wait' as const }) },
);

/** One history: two brokers over one database, their clients, and what befalls them. */
class History {
  readonly stage: Stage;
  readonly settings: Partial<MemorySettings>;
  readonly brokers: { hallpass: TestBroker; mortal: Mortal }[] = [];
  readonly tasks: { readonly token: string; readonly id: string }[] = [];
  pending: Promise<unknown>[] = [];

  constructor(stage: Stage, settings: Partial<MemorySettings>) {
    this.stage = stage;
    this.settings = settings;
  }

  async start(index: 0 | 1): Promise<void> {
    const { database, warehouse, cache } = this.stage;
    const mortal = createMortal();
    const hallpass = await this.stage.start({
      database: mortal.database(database),
      worlds: { warehouse: mortal.world(warehouse), cache: mortal.world(cache) },
      grants: GRANTS,
      limits: LIMITS,
      settings: this.settings,
    });
    this.brokers[index] = { hallpass, mortal };
  }

  /** Begins something without waiting for it. What throws is an outage or a lost race, which clients live with. */
  begin(index: 0 | 1, work: (hallpass: TestBroker) => Promise<unknown>): void {
    const { hallpass, mortal } = this.brokers[index]!;
    this.pending.push(Promise.race([work(hallpass), mortal.died]).catch(() => {}));
  }

  async wait(): Promise<void> {
    const { pending } = this;
    this.pending = [];
    await drive(this.stage.runtime, Promise.all(pending), 2);
  }

  async move(what: Move): Promise<void> {
    const { runtime } = this.stage;
    switch (what.do) {
      case 'open':
        return this.begin(what.broker, async ({ verbs }) => {
          const ask = asking({ grant: what.grant, idempotencyKey: what.key ? 'key' : null });
          const answer = await verbs.openTask(WORKLOAD, ask);
          if (answer.ok) this.tasks.push({ token: answer.value.token!, id: answer.value.task.id });
        });
      case 'reap':
        return this.begin(what.broker, ({ reaper }) => reaper.tick());
      case 'crash':
        this.brokers[what.broker]!.mortal.kill();
        return this.start(what.broker);
      case 'fault':
        this.stage[what.target].fault = FAULTS[what.fault]!;
        return;
      case 'jump':
        // What lapsed by itself would be back: that is beyond any broker.
        if (what.ms > 0 || this.settings.ends !== 'expiry-only') runtime.jump(what.ms);
        return;
      case 'pass':
        return runtime.advance(what.ms);
      case 'wait':
        return this.wait();
      default:
        return this.act(what.do, what.broker, what.which);
    }
  }

  act(verb: 'renew' | 'heartbeat' | 'complete' | 'revoke' | 'add', index: 0 | 1, which: number): void {
    const task = this.tasks[which % Math.max(1, this.tasks.length)];
    if (task === undefined) return;
    this.begin(index, async ({ verbs }) => {
      const holder = await verbs.identify({ kind: 'bearer', token: task.token }, 'test');
      if (!holder.ok) throw new Error('a task has lost its token');
      const caller: Caller = holder.value;
      if (verb === 'heartbeat') return verbs.heartbeat(caller, task.id);
      if (verb === 'complete') return verbs.completeTask(caller, task.id, 0);
      const ask = { credentials: ['db'], ttlSeconds: null };
      if (verb === 'add') return verbs.addCredentials(caller, task.id, ask);
      const read = await verbs.readTask(caller, task.id);
      if (!read.ok) throw new Error('a task is gone');
      const lease = read.value.leases[which % read.value.leases.length]!;
      if (verb === 'renew') return verbs.renewLease(caller, lease.id, 10 + which);
      return verbs.revokeLease(caller, lease.id, 'model');
    });
  }

  /** Faults end, time passes everything by: all that was ever begun comes to its end. */
  async end(): Promise<void> {
    const { stage, brokers } = this;
    stage.warehouse.fault = () => {};
    stage.cache.fault = () => {};
    await this.wait();
    await stage.check();
    for (const ms of [200, 600, 3_000, 10_000, 60_000, 120_000]) {
      stage.runtime.jump(ms);
      await drive(stage.runtime, Promise.all(brokers.map(({ hallpass }) => hallpass.reap())), 2);
    }
    await stage.check();
    const left = await stage.database.query<{ leases: number; tasks: number }>(
      {
        name: 'test_left',
        text: `select (select count(*)::int from lease where state <> 'ended') as leases,
                      (select count(*)::int from task where state = 'open') as tasks`,
      },
      [],
    );
    expect(left).toEqual([{ leases: 0, tasks: 0 }]);
    for (const { mortal } of brokers) mortal.kill();
  }
}

/** Histories of one run: what fits into about ten seconds. `HALLPASS_TEST_RUNS` looks longer. */
const RUNS = Number(process.env.HALLPASS_TEST_RUNS ?? 25);

test('model: whatever clients, reapers, faults, clocks and crashes do to each other, the invariants hold', {
  timeout: 600_000,
}, async () => {
  const ends = fc.constantFrom<MemorySettings['ends']>('confirmed', 'confirmed', 'denied', 'expiry-only');
  // A failure names its seed and path, with which fast-check plays it again.
  await fc.assert(
    fc.asyncProperty(ends, fc.array(move, { minLength: 10, maxLength: 40 }), async (kind, moves) => {
      const stage = await createStage(store, { denialDelayMs: 50 });
      try {
        const history = new History(stage, { ends: kind });
        await history.start(0);
        await history.start(1);
        for (const what of moves) await history.move(what);
        await history.end();
      } finally {
        await stage.close();
      }
    }),
    { numRuns: RUNS, endOnFailure: process.env.HALLPASS_TEST_RUNS === undefined },
  );
});
