import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { retryDelayMs } from '../../src/broker/settle.ts';
import { ProviderError } from '../../src/errors.ts';
import type { Json } from '../../src/json.ts';
import { defaultLimits } from '../../src/limits.ts';
import type { Minted, ProviderKind } from '../../src/providers/provider.ts';
import { lateness } from '../../src/store/leases.ts';
import type { MemoryWorld } from '../fakes/provider.ts';
import { asking, REPORT_GRANT, reason, type TestBroker, value, WORKLOAD } from '../support/broker.ts';
import { drive } from '../support/drive.ts';
import { dumpAll } from '../support/invariants.ts';
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

const REPORT = REPORT_GRANT as Record<string, Json>;
const DB = (REPORT.credentials as Record<string, Json>).db as Record<string, Json>;
const TWO_TARGETS = { report: { ...REPORT, credentials: { db: DB, cache: { ...DB, target: 'cache' } } } };

async function outcomes(): Promise<string[]> {
  return (await hallpass.events()).flatMap((event) =>
    event.kind === 'lease.ended' ? [event.data.outcome] : [],
  );
}

/** The same world with a provider that answers a mint otherwise. */
function answering(world: MemoryWorld, change: (minted: Minted) => Minted): MemoryWorld {
  const provider = {
    ...world.provider,
    open: (...parameters: Parameters<typeof world.provider.open>) => {
      const target = world.provider.open(...parameters);
      const { mint } = target;
      return Object.assign(target, {
        mint: async (...asked: Parameters<typeof mint>) => change(await mint(...asked)),
      });
    },
  };
  return Object.assign(Object.create(world), { provider }) as MemoryWorld & { provider: ProviderKind };
}

describe('mint', () => {
  test('mint: no answer in time, and created late by a target whose clock is behind: found by its name and ended', async () => {
    await stage.close();
    stage = await createStage(store, { now: () => stage.runtime.now() - 3_000 });
    hallpass = await stage.start();
    let release = () => {};
    stage.warehouse.fault = (call, phase) =>
      call === 'mint' && phase === 'before'
        ? new Promise<void>((resolve) => {
            release = resolve;
          })
        : undefined;
    const opening = hallpass.verbs.openTask(WORKLOAD, asking());
    await until(() => stage.runtime.sleeping() > 0);
    await stage.runtime.advance(15_000);
    expect(reason(await drive(stage.runtime, opening))).toBe('mint-failed');
    await hallpass.reap();
    expect(await outcomes()).toEqual([]);
    release();
    await until(() => stage.warehouse.live.size === 1);
    stage.runtime.jump(5_000);
    await hallpass.reap();
    expect(stage.warehouse.live.size).toBe(0);
    expect(await outcomes()).toEqual(['revoked']);
  });

  test('mint: no answer in time and nothing made: never minted, known once the window is over', async () => {
    stage.warehouse.fault = (call) => (call === 'mint' ? new Promise<void>(() => {}) : undefined);
    const opening = hallpass.verbs.openTask(WORKLOAD, asking());
    await until(() => stage.runtime.sleeping() > 0);
    await stage.runtime.advance(15_000);
    expect(reason(await drive(stage.runtime, opening))).toBe('mint-failed');
    stage.runtime.jump(5_000);
    await hallpass.reap();
    expect(await outcomes()).toEqual(['never-minted']);
  });

  test('mint: whose turn comes after his window is told that nothing was made, and the target is not asked', async () => {
    const busy = await stage.start({ limits: { mintConcurrency: 1, mintQueue: 1 } });
    const asked: string[] = [];
    stage.warehouse.fault = (call, phase, { name }) => {
      if (call !== 'mint' || phase !== 'before') return;
      asked.push(name);
      return new Promise<void>(() => {});
    };
    const openings = Promise.all([1, 2].map(() => busy.verbs.openTask(WORKLOAD, asking())));
    const lane = busy.broker.targets.get('warehouse')!.minting;
    await until(() => lane.refusal(stage.runtime.now()) !== null, 'the second to wait for the first');
    await stage.runtime.advance(15_000);
    for (const answer of await drive(stage.runtime, openings)) expect(reason(answer)).toBe('mint-failed');
    expect(asked).toHaveLength(1);
    // Of the one that was asked it is not known; the other needs no look at the target, and says so at once.
    const failed = (await busy.events()).flatMap(({ kind, data }) =>
      kind === 'lease.mint-failed' ? [data] : [],
    );
    expect(failed.filter(({ mayExist }) => mayExist)).toMatchObject([{ code: 'timeout' }]);
    expect(failed.filter(({ mayExist }) => !mayExist)).toMatchObject([{ code: 'target-throttled' }]);
    expect(await outcomes()).toEqual(['never-minted']);
    stage.warehouse.fault = () => {};
    stage.runtime.jump(5_000);
    await busy.reap();
  });

  test('mint: a target that gives less time than was asked: the lease has no more, and is ended when that is up', async () => {
    const less = (minted: Minted) => ({ ...minted, expiresAt: minted.expiresAt - 600_000 });
    const broker = await stage.start({ worlds: { warehouse: answering(stage.warehouse, less) } });
    const { opened, leaseId } = await stage.open(broker);
    const { expiresAt } = opened.credentials[0]!.lease;
    expect(expiresAt).toBe(stage.runtime.now() + 300_000);
    expect(await stage.lease(leaseId)).toMatchObject({ expiresAt, dueAt: expiresAt });
    stage.runtime.jump(300_000);
    await broker.reap();
    expect(await stage.lease(leaseId)).toMatchObject({ state: 'ended', endReason: 'expired' });
  });

  test('mint: a throttled target made nothing, and says so at once', async () => {
    stage.warehouse.fault = (call, phase) => {
      if (call === 'mint' && phase === 'before') throw new ProviderError('target-throttled', 'slow down');
    };
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('mint-failed');
    expect(await outcomes()).toEqual(['never-minted']);
  });

  test('mint: whatever a provider throws, its words go nowhere', async () => {
    const thrown = [
      (word: string) => word,
      (word: string) => new Error(`${word}\n    at ${word}`),
      (word: string) => ({ message: word, stack: word, code: word }),
      (word: string) => new ProviderError('target-failed', 'it failed', { cause: new Error(word) }),
      () => null,
    ];
    for (const [i, make] of thrown.entries()) {
      const word = `canary-${i}-${Buffer.from(stage.runtime.randomBytes(12)).toString('hex')}`;
      stage.warehouse.fault = (call, phase) => {
        if (call === 'mint' ? phase === 'after' : phase === 'before') throw make(word);
      };
      const broker = await stage.start();
      const answer = await broker.verbs.openTask(WORKLOAD, asking());
      expect(reason(answer)).toBe('mint-failed');
      stage.runtime.jump(20_000);
      await broker.reap();
      expect(stage.warehouse.live.size).toBe(1);
      expect(await dumpAll(stage.database)).not.toContain(word);
      expect(JSON.stringify([answer, broker.logged])).not.toContain(word);
      stage.warehouse.fault = () => {};
      stage.runtime.jump(300_000);
      await broker.reap();
      expect(stage.warehouse.live.size).toBe(0);
    }
  });

  test('mint: words of a target that the store cannot take, or without end, do not get in the way of ending', async () => {
    const { holder, taskId, leaseId } = await stage.open(hallpass);
    stage.warehouse.fault = (call) => {
      if (call === 'end') throw new ProviderError('target-failed', `a\0b \ud800 ${'x'.repeat(100_000)}`);
    };
    value(await hallpass.verbs.completeTask(holder, taskId, 0));
    const lease = await stage.lease(leaseId);
    expect(lease.lastError).toMatch(/^target-failed: a\ufffdb \ufffd x/);
    expect(lease.lastError!.length).toBeLessThan(1_100);
    stage.warehouse.fault = () => {};
    stage.runtime.jump(2_000);
    await hallpass.reap();
    expect(await outcomes()).toEqual(['revoked']);
  });

  test('mint: a provider that breaks its terms: what it made is never handed out, and ended by its handle', async () => {
    const breaks: ((minted: Minted) => Minted)[] = [
      (minted) => ({ ...minted, expiresAt: minted.expiresAt + 1 }),
      (minted) => ({ ...minted, expiresAt: Number.NaN }),
      (minted) => ({ ...minted, handle: { name: 'a\0' } }),
    ];
    for (const change of breaks) {
      const broker = await stage.start({
        worlds: { warehouse: answering(stage.warehouse, change) },
      });
      const before = stage.warehouse.minted.length;
      expect(reason(await broker.verbs.openTask(WORKLOAD, asking()))).toBe('mint-failed');
      expect(stage.warehouse.minted).toHaveLength(before + 1);
      await broker.reap();
      expect(stage.warehouse.live.size).toBe(0);
    }
    expect(await outcomes()).toEqual(['revoked', 'revoked', 'revoked']);
  });
});

describe('log', () => {
  /** From now on the log takes no event of this kind, though the store takes all else. */
  async function failing(kind: string): Promise<() => Promise<void>> {
    await stage.database.script(`
      create function full_log() returns trigger language plpgsql as $$ begin
        if new.kind = '${kind}' then raise exception 'no room' using errcode = '53100'; end if;
        return new;
      end $$;
      create trigger full_log before insert on audit_event for each row execute function full_log()`);
    return () => stage.database.script('drop trigger full_log on audit_event; drop function full_log');
  }

  test('log: what cannot be written is not done: nothing is minted, and nobody is told anything (47)', async () => {
    const mend = await failing('lease.intended');
    await expect(hallpass.verbs.openTask(WORKLOAD, asking())).rejects.toThrow();
    expect(stage.warehouse.calls).toEqual([]);
    const left = 'select (select count(*) from task)::int + (select count(*) from lease)::int as n';
    expect(await stage.database.query({ name: 'test_left', text: left }, [])).toEqual([{ n: 0 }]);
    expect(await hallpass.events()).toEqual([]);
    await mend();
    await stage.open(hallpass);
  });

  test('log: an issue that cannot be written hands out nothing, and what was made is ended (47)', async () => {
    const mend = await failing('lease.issued');
    await expect(drive(stage.runtime, hallpass.verbs.openTask(WORKLOAD, asking()))).rejects.toThrow();
    expect(stage.warehouse.minted).toHaveLength(1);
    await mend();
    stage.runtime.jump(300_000);
    await hallpass.reap();
    expect(stage.warehouse.live.size).toBe(0);
    expect(await outcomes()).toEqual(['revoked']);
  });

  test('log: an end that cannot be written is not told, and is told once it can be (47)', async () => {
    const { holder, taskId, leaseId } = await stage.open(hallpass);
    const mend = await failing('lease.ended');
    await expect(hallpass.verbs.completeTask(holder, taskId, 0)).rejects.toThrow();
    expect(await stage.lease(leaseId)).toMatchObject({ state: 'ending', outcome: null });
    await mend();
    stage.runtime.jump(300_000);
    await hallpass.reap();
    expect(await outcomes()).toEqual(['revoked']);
  });
});

describe('end', () => {
  test('end: timed out, but it was deleted: the next attempt finds nothing, and it is revoked', async () => {
    const { holder, taskId } = await stage.open(hallpass);
    let failures = 1;
    stage.warehouse.fault = (call, phase) => {
      if (call === 'end' && phase === 'after' && failures-- > 0)
        throw new ProviderError('target-timeout', 'no answer');
    };
    value(await hallpass.verbs.completeTask(holder, taskId, 0));
    expect(await outcomes()).toEqual([]);
    stage.runtime.jump(1_000);
    await hallpass.reap();
    expect(await outcomes()).toEqual(['revoked']);
  });

  test('end: of a mint that was not answered, timed out, but it was deleted: revoked, and not never minted', async () => {
    stage.warehouse.fault = (call, phase) => {
      if (call === 'mint' && phase === 'after') throw new ProviderError('target-timeout', 'no answer');
    };
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('mint-failed');
    let failures = 1;
    stage.warehouse.fault = (call, phase) => {
      if (call === 'end' && phase === 'after' && failures-- > 0)
        throw new ProviderError('target-timeout', 'no answer');
    };
    stage.runtime.jump(20_000);
    await hallpass.reap();
    expect(stage.warehouse.live.size).toBe(0);
    expect(await outcomes()).toEqual([]);
    stage.runtime.jump(1_000);
    await hallpass.reap();
    expect(await outcomes()).toEqual(['revoked']);
  });

  test('end: what was handed out and is gone by somebody else is revoked, though nothing was needed to find it', async () => {
    const bare = (minted: Minted) => ({ ...minted, handle: null });
    const broker = await stage.start({ worlds: { warehouse: answering(stage.warehouse, bare) } });
    const { holder, taskId } = await stage.open(broker);
    stage.warehouse.live.clear();
    value(await broker.verbs.completeTask(holder, taskId, 0));
    expect(await outcomes()).toEqual(['revoked']);
  });

  test('end: what was made while its task ended, and is gone by somebody else, is revoked, though nobody received it', async () => {
    const { holder, taskId } = await stage.open(hallpass);
    let release: (() => void) | null = null;
    stage.warehouse.fault = (call, phase) =>
      call === 'mint' && phase === 'after'
        ? new Promise<void>((resolve) => {
            release = resolve;
          })
        : undefined;
    const ask = { credentials: ['db'], ttlSeconds: null };
    const adding = hallpass.verbs.addCredentials(holder, taskId, ask);
    await until(() => release !== null);
    value(await hallpass.verbs.completeTask(holder, taskId, 0));
    release!();
    expect(reason(await adding)).toBe('task-ended');
    stage.warehouse.live.clear();
    await hallpass.reap();
    expect(await outcomes()).toEqual(['revoked', 'revoked']);
  });

  test('end: an attempt that has lost its claim does not tell what it found after another one was there', async () => {
    stage.warehouse.fault = (call, phase) => {
      if (call === 'mint' && phase === 'after') throw new ProviderError('target-timeout', 'no answer');
    };
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('mint-failed');
    let goOn = () => {};
    let fail = (_: Error) => {};
    let begun = 0;
    let done = 0;
    stage.warehouse.fault = (call, phase) => {
      if (call !== 'end') return;
      return new Promise<void>((resolve, reject) => {
        if (phase === 'before' && begun++ === 0) goOn = resolve;
        else if (phase === 'after' && done++ === 0) fail = reject;
        else resolve();
      });
    };
    stage.runtime.jump(20_000);
    const first = hallpass.reaper.tick();
    await until(() => begun === 1);
    // The claim has timed out: another replica ends it, and has not heard of that yet.
    stage.runtime.jump(60_000);
    const second = (await stage.start()).reaper.tick();
    await until(() => done === 1);
    goOn();
    await first;
    expect(await outcomes()).toEqual([]);
    fail(new ProviderError('target-timeout', 'no answer'));
    await second;
    stage.runtime.jump(10_000);
    await hallpass.reap();
    expect(await outcomes()).toEqual(['revoked']);
  });

  test('end: a target that is away for an hour: pending and overdue all along, never revoked, others unaffected, then gone by itself', async () => {
    const broker = await stage.start({ grants: TWO_TARGETS });
    const { holder, taskId, opened } = await stage.open(broker);
    stage.warehouse.fault = () => {
      throw new ProviderError('target-unreachable', 'connection refused');
    };
    const { leases } = value(await broker.verbs.completeTask(holder, taskId, 0));
    const states = Object.fromEntries(leases.map((lease) => [lease.target, lease.state]));
    expect(states).toEqual({ warehouse: 'ending', cache: 'ended' });
    const away = leases.find((lease) => lease.target === 'warehouse')!;
    const begun = stage.runtime.now();
    while (stage.runtime.now() < begun + 3_600_000) {
      stage.runtime.jump(60_000);
      await broker.reap();
      const lease = await stage.lease(away.id);
      expect(lease).toMatchObject({ state: 'ending', outcome: null });
      expect(stage.warehouse.live.size).toBe(1);
      const [late] = await lateness(stage.database, ['warehouse'], stage.runtime.now());
      if (lease.attempts > 1) expect(late?.failing).toBe(1);
    }
    const attempts = (await stage.lease(away.id)).attempts;
    // Backoff is capped at five minutes: in an hour that is not a storm, and not a standstill.
    expect(attempts).toBeGreaterThan(12);
    expect(attempts).toBeLessThan(30);
    stage.warehouse.fault = () => {};
    stage.runtime.jump(300_000);
    await broker.reap();
    expect(await stage.lease(away.id)).toMatchObject({ state: 'ended', outcome: 'revoked' });
    expect(stage.warehouse.use(opened.credentials[0]!.secret!)).toBe(false);
  });

  test('retryDelayMs: doubles to its cap and never passes it, however often and whatever the dice say', () => {
    for (let attempt = 1; attempt < 2_000; attempt++) {
      const low = retryDelayMs(defaultLimits, attempt, 0);
      const high = retryDelayMs(defaultLimits, attempt, 255);
      expect(high).toBe(Math.min(1_000 * 2 ** Math.min(attempt - 1, 40), 300_000));
      expect(low).toBe(Math.round(high * 0.75));
    }
  });

  test('end: a lease whose target is not configured any more stays, overdue, and ends when it is there again', async () => {
    const { holder, taskId, leaseId } = await stage.open(hallpass);
    const without = await stage.start({ worlds: { cache: stage.cache }, grants: {} });
    const { leases } = value(await without.verbs.completeTask(holder, taskId, 0));
    expect(leases).toMatchObject([{ state: 'ending', attempts: 0 }]);
    stage.runtime.jump(3_600_000);
    await without.reap();
    expect(await stage.lease(leaseId)).toMatchObject({ state: 'ending', outcome: null });
    await hallpass.reap();
    expect(await stage.lease(leaseId)).toMatchObject({ state: 'ended', outcome: 'revoked' });
  });
});

describe('what cannot be revoked', () => {
  test('end: a denial ends its lease when it is in force everywhere, and not before', async () => {
    await stage.close();
    stage = await createStage(store, { denialDelayMs: 120_000 });
    hallpass = await stage.start({ settings: { ends: 'denied' } });
    const { holder, taskId, leaseId } = await stage.open(hallpass);
    const deniedAt = stage.runtime.now();
    const { leases } = value(await hallpass.verbs.completeTask(holder, taskId, 0));
    expect(leases).toMatchObject([{ state: 'ending', outcome: null }]);
    stage.runtime.jump(119_999);
    await hallpass.reap();
    expect(await stage.lease(leaseId)).toMatchObject({ state: 'ending' });
    stage.runtime.jump(1);
    await hallpass.reap();
    const lease = await stage.lease(leaseId);
    expect(lease).toMatchObject({ state: 'ended', outcome: 'denied', endedAt: deniedAt + 120_000 });
    expect(lease.evidence).toMatchObject({ effectiveAt: new Date(deniedAt + 120_000).toISOString() });
    expect(stage.warehouse.calls.filter(({ call }) => call === 'end')).toHaveLength(1);
  });

  test('end: what only lapses is ending until its instant, then expired, whoever received it', async () => {
    const lapsing = await stage.start({ settings: { ends: 'expiry-only' } });
    const one = await stage.open(lapsing, { ttlSeconds: 600 });
    const { leases } = value(await lapsing.verbs.completeTask(one.holder, one.taskId, 0));
    expect(leases).toMatchObject([{ state: 'ending', outcome: null }]);
    stage.warehouse.fault = (call, phase) => {
      if (call === 'mint' && phase === 'after') throw new ProviderError('target-unreachable', 'reset');
    };
    expect(reason(await lapsing.verbs.openTask(WORKLOAD, asking({ ttlSeconds: 600 })))).toBe('mint-failed');
    // At its instant by this clock, which may be ahead of the target's by as much as is tolerated.
    stage.runtime.jump(604_999);
    await lapsing.reap();
    expect(await outcomes()).toEqual([]);
    stage.runtime.jump(1);
    await lapsing.reap();
    expect(await outcomes()).toEqual(['expired', 'expired']);
    const said = (await lapsing.events()).flatMap((event) =>
      event.kind === 'lease.ended' ? [event.data.evidence] : [],
    );
    expect(said).toEqual(expect.arrayContaining([expect.objectContaining({ received: true })]));
    expect(said).toEqual(expect.arrayContaining([expect.objectContaining({ received: false })]));
    expect((await stage.lease(one.leaseId)).endedAt).toBe(stage.runtime.now());
  });

  test('end: what lapses later than was asked is not said to have expired before', async () => {
    const late = answering(stage.warehouse, (minted) => {
      const credential = stage.warehouse.live.get(minted.secret.values.username!)!;
      credential.expiresAt += 60_000;
      return { ...minted, expiresAt: credential.expiresAt };
    });
    const lapsing = await stage.start({
      settings: { ends: 'expiry-only' },
      worlds: { warehouse: late },
    });
    expect(reason(await lapsing.verbs.openTask(WORKLOAD, asking({ ttlSeconds: 600 })))).toBe('mint-failed');
    stage.runtime.jump(600_000);
    await lapsing.reap();
    expect(await outcomes()).toEqual([]);
    stage.runtime.jump(60_000);
    await lapsing.reap();
    expect(await outcomes()).toEqual([]);
    stage.runtime.jump(5_000);
    await lapsing.reap();
    expect(await outcomes()).toEqual(['expired']);
  });
});

describe('time', () => {
  test('time: a replica whose clock is ahead settles no mint that the target may still make', async () => {
    const { runtime } = stage;
    let release: (() => void) | null = null;
    stage.warehouse.fault = (call, phase) =>
      call === 'mint' && phase === 'before'
        ? new Promise<void>((resolve) => {
            release = resolve;
          })
        : undefined;
    const opening = hallpass.verbs.openTask(WORKLOAD, asking());
    await until(() => release !== null);
    const ahead = await stage.start({ runtime: { ...runtime, now: () => runtime.now() + 4_900 } });
    runtime.jump(15_000);
    await ahead.reap();
    expect(await outcomes()).toEqual([]);
    runtime.jump(101);
    await ahead.reap();
    expect(await outcomes()).toEqual(['never-minted']);
    release!();
    expect(['mint-failed', 'task-ended']).toContain(reason(await opening));
    expect(stage.warehouse.minted).toHaveLength(0);
  });

  test('time: a deadline that passed while no broker ran is met before anything else', async () => {
    const { opened, leaseId } = await stage.open(hallpass, { ttlSeconds: 60 });
    stage.runtime.jump(7 * 86_400_000);
    expect(stage.warehouse.live.size).toBe(1);
    const next = await stage.start();
    await next.reap();
    expect(stage.warehouse.use(opened.credentials[0]!.secret!)).toBe(false);
    expect(await stage.lease(leaseId)).toMatchObject({ outcome: 'revoked', endReason: 'expired' });
    expect(await next.reaper.tick()).toBe(0);
  });

  test('time: a clock that jumps back and forth loses no lease and ends none early', async () => {
    const { leaseId } = await stage.open(hallpass, { ttlSeconds: 600 });
    const { expiresAt } = await stage.lease(leaseId);
    for (const ms of [-3_600_000, 1_800_000, -60_000, 1_860_000, 599_000, -500_000, 500_999]) {
      stage.runtime.jump(ms);
      await hallpass.reap();
      expect(stage.runtime.now()).toBeLessThan(expiresAt);
      expect(await stage.lease(leaseId)).toMatchObject({ state: 'active' });
    }
    stage.runtime.jump(1);
    await hallpass.reap();
    expect(await stage.lease(leaseId)).toMatchObject({ state: 'ended', endReason: 'expired' });
  });
});
