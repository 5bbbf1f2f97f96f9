import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { ProviderError } from '../../src/errors.ts';
import type { Json } from '../../src/json.ts';
import { callerOf, REPORT_GRANT, reason, type TestBroker, value, WORKLOAD } from '../support/broker.ts';
import { drive } from '../support/drive.ts';
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

const HOUR = 3_600_000;

test('renewLease: carries a credential up to its cap, at the target as well, and never past it', async () => {
  const { holder, leaseId, opened } = await stage.open(hallpass, { ttlSeconds: 3600 });
  const begun = stage.runtime.now();
  for (const hours of [0.9, 1.8, 2.7, 3.6]) {
    stage.runtime.jump(begun + hours * HOUR - stage.runtime.now());
    const lease = value(await hallpass.verbs.renewLease(holder, leaseId, 3600));
    expect(lease.expiresAt - begun).toBe(Math.min(hours + 1, 4) * HOUR);
    expect(stage.warehouse.live.get(lease.name)?.expiresAt).toBe(lease.expiresAt);
    await hallpass.reap();
    expect(stage.warehouse.use(opened.credentials[0]!.secret!)).toBe(true);
  }
  expect(reason(await hallpass.verbs.renewLease(holder, leaseId, 3600))).toBe('cannot-renew');
  stage.runtime.jump(0.4 * HOUR);
  expect(reason(await hallpass.verbs.renewLease(holder, leaseId, 3600))).toBe('task-ended');
  await hallpass.reap();
  expect(stage.warehouse.live.size).toBe(0);
});

test('renewLease: refused to another task, to its own opener without the token, and for what has ended or lapsed', async () => {
  const mine = await stage.open(hallpass);
  const other = await stage.open(hallpass);
  expect(reason(await hallpass.verbs.renewLease(other.holder, mine.leaseId, null))).toBe('not-found');
  expect(reason(await hallpass.verbs.renewLease(WORKLOAD, mine.leaseId, null))).toBe('not-found');
  const operator = callerOf({}, ['operator']);
  expect(reason(await hallpass.verbs.renewLease(operator, mine.leaseId, null))).toBe('not-found');
  value(await hallpass.verbs.revokeLease(mine.holder, mine.leaseId, 'done'));
  expect(reason(await hallpass.verbs.renewLease(mine.holder, mine.leaseId, null))).toBe('lease-ended');
  stage.runtime.jump(900_000);
  // Its time is up; that nobody has ended it yet makes no difference.
  expect(await stage.lease(other.leaseId)).toMatchObject({ state: 'active' });
  expect(reason(await hallpass.verbs.renewLease(other.holder, other.leaseId, null))).toBe('lease-ended');
  const said = (await hallpass.events()).filter((event) => event.kind === 'request.refused');
  expect(said).toHaveLength(5);
  await hallpass.reap();
});

test('renewLease: policy is asked again: a grant that is gone, narrower or elsewhere now refuses', async () => {
  const { holder, leaseId } = await stage.open(hallpass);
  const report = REPORT_GRANT as Record<string, Json>;
  const db = (report.credentials as Record<string, Json>).db as Record<string, Json>;
  const changed = {
    gone: { other: report },
    narrower: { report: { ...report, who: [{ issuer: 'ci', claims: { repository_id: '7' } }] } },
    elsewhere: { report: { ...report, credentials: { db: { ...db, target: 'cache' } } } },
  };
  for (const grants of Object.values(changed)) {
    const broker = await stage.start({ grants });
    expect(reason(await broker.verbs.renewLease(holder, leaseId, 1800))).toBe('not-allowed');
  }
  const lower = { report: { ...report, credentials: { db: { ...db, ttl: { max: '10m' } } } } };
  const broker = await stage.start({ grants: lower });
  expect(reason(await broker.verbs.renewLease(holder, leaseId, 1800))).toBe('not-allowed');
  // The cap of the grant as it is now counts; what the lease has, it keeps.
  expect(reason(await broker.verbs.renewLease(holder, leaseId, null))).toBe('cannot-renew');
  expect(await stage.lease(leaseId)).toMatchObject({ state: 'active', version: 2 });
});

test('renewLease: never past the cap that the lease began with, however wide the grant has become', async () => {
  const report = REPORT_GRANT as Record<string, Json>;
  const db = (report.credentials as Record<string, Json>).db as Record<string, Json>;
  const capped = (cap: string) => ({
    report: {
      ...report,
      credentials: {
        db: { ...db, ttl: { default: '15m', max: '15m', cap } },
        cache: { ...db, target: 'cache', ttl: { default: '15m', max: '1h', cap: '4h' } },
      },
    },
  });
  const { holder, opened } = await stage.open(await stage.start({ grants: capped('20m') }));
  const { lease } = opened.credentials.find(({ name }) => name === 'db')!;
  stage.runtime.jump(10 * 60_000);
  const wide = await stage.start({ grants: capped('4h') });
  const renewed = value(await wide.verbs.renewLease(holder, lease.id, null));
  expect(renewed.expiresAt).toBe(opened.task.openedAt + 20 * 60_000);
});

test('renewLease: the target did not hear of it: the caller is told, and asking again repeats the call, at the cap too', async () => {
  const { holder, leaseId, opened } = await stage.open(hallpass, { ttlSeconds: 3600 });
  const name = opened.credentials[0]!.lease.name;
  stage.runtime.jump(0.9 * HOUR);
  for (let i = 0; i < 3; i++) {
    value(await hallpass.verbs.renewLease(holder, leaseId, 3600));
    stage.runtime.jump(0.9 * HOUR);
  }
  stage.warehouse.fault = (call, phase) => {
    if (call === 'extend' && phase === 'before') throw new ProviderError('target-failed', 'not now');
  };
  const before = stage.warehouse.live.get(name)!.expiresAt;
  expect(reason(await hallpass.verbs.renewLease(holder, leaseId, 3600))).toBe('target-unavailable');
  expect(stage.warehouse.live.get(name)!.expiresAt).toBe(before);
  const lease = await stage.lease(leaseId);
  expect(lease.expiresAt).toBe(lease.capAt);
  stage.warehouse.fault = () => {};
  expect(value(await hallpass.verbs.renewLease(holder, leaseId, 3600)).expiresAt).toBe(lease.capAt);
  expect(stage.warehouse.live.get(name)!.expiresAt).toBe(lease.capAt);
  expect(reason(await hallpass.verbs.renewLease(holder, leaseId, 3600))).toBe('cannot-renew');
});

test('renewLease: an error that the provider should not throw is a refusal, without its words', async () => {
  const { holder, leaseId, opened } = await stage.open(hallpass);
  const { password } = opened.credentials[0]!.secret!.values;
  stage.warehouse.fault = (call) => {
    if (call === 'extend') throw new TypeError(`cannot read ${password}\n    at ${password}`);
  };
  const answer = await hallpass.verbs.renewLease(holder, leaseId, 1800);
  expect(reason(answer)).toBe('target-unavailable');
  expect(JSON.stringify([answer, await hallpass.events(), hallpass.logged])).not.toContain(password);
});

test('renewLease: refused before its commit where the breaker is open or the target has no room', async () => {
  const small = await stage.start({ limits: { mintConcurrency: 1, mintQueue: 1 } });
  const leases = await Promise.all([1, 2, 3].map(() => stage.open(small)));
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  stage.warehouse.fault = (call, phase) => (call === 'extend' && phase === 'before' ? gate : undefined);
  const renewals = [0, 1].map((i) => small.verbs.renewLease(leases[i]!.holder, leases[i]!.leaseId, 1800));
  const lane = small.broker.targets.get('warehouse')!.minting;
  await until(() => lane.refusal(stage.runtime.now()) !== null);
  expect(reason(await small.verbs.renewLease(leases[2]!.holder, leases[2]!.leaseId, 1800))).toBe(
    'overloaded',
  );
  expect(await stage.lease(leases[2]!.leaseId)).toMatchObject({ version: 2 });
  release();
  for (const answer of await Promise.all(renewals)) value(answer);
});

test('renewLease: racing with heartbeats, completion and the reaper, nothing outlives its lease', async () => {
  const grants = { report: { ...(REPORT_GRANT as Record<string, Json>), heartbeat: '60s' } };
  const brokers = [await stage.start({ grants }), await stage.start({ grants })];
  for (let round = 0; round < 8; round++) {
    const { holder, taskId, leaseId } = await stage.open(brokers[0]!);
    const [renewed, beaten] = await drive(
      stage.runtime,
      Promise.all([
        brokers[1]!.verbs.renewLease(holder, leaseId, 1800),
        brokers[0]!.verbs.heartbeat(holder, taskId),
        ...(round % 2 ? [brokers[1]!.verbs.completeTask(holder, taskId, 0)] : []),
      ]),
    );
    if (round % 2 === 0) expect([renewed.ok, beaten.ok]).toEqual([true, true]);
    value(await brokers[0]!.verbs.completeTask(holder, taskId, 0));
    expect(stage.warehouse.live.size).toBe(0);
  }
});
