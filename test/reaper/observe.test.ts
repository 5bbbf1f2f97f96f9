import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { AuditEvent } from '../../src/audit/event.ts';
import { ProviderError } from '../../src/errors.ts';
import { createObserver, runObservers } from '../../src/reaper/observe.ts';
import { type TestBroker, value } from '../support/broker.ts';
import { until } from '../support/runtime.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let stage: Stage;
let hallpass: TestBroker;

/** Between two looks, and the longest time between two that follow each other. */
const EVERY_MS = 10_000;
const GAP_MS = 30_000;

beforeEach(async () => {
  stage = await createStage(store, { observes: true });
  hallpass = await stage.start();
});
afterEach(async () => {
  await stage.check();
  await stage.close();
});
afterAll(() => store.stop());

/** The observer of one replica. */
function observer(replica = hallpass) {
  const made = createObserver(replica.broker, replica.broker.targets.get('warehouse')!)!;
  return { look: () => made.look(new AbortController().signal) };
}

/** A session of a lease, as the target shows it. */
function session(lease: { readonly name: string }, application = 'psql', address = '10.1.2.3') {
  return { name: lease.name, address, application, since: stage.runtime.now() };
}

async function useEvents(): Promise<(AuditEvent & { readonly kind: 'credential.used' })[]> {
  return (await hallpass.events()).filter((event) => event.kind === 'credential.used');
}

async function endEvent(leaseId: string) {
  const ended = (await hallpass.events()).find(
    (event) => event.kind === 'lease.ended' && event.about.lease === leaseId,
  );
  return ended?.kind === 'lease.ended' ? ended.data : undefined;
}

test('observe: the first use is an event, a new place another, and the end says what was seen', async () => {
  const { look } = observer();
  await look();
  const { holder, taskId, leaseId, opened } = await stage.open(hallpass);
  const { lease } = opened.credentials[0]!;
  await stage.runtime.advance(EVERY_MS);
  stage.warehouse.sessions = [session(lease)];
  const firstSeenAt = new Date(stage.runtime.now()).toISOString();
  expect(await look()).toBe(1);
  await stage.runtime.advance(EVERY_MS);
  expect(await look()).toBe(1);
  stage.warehouse.sessions.push(session(lease, 'dbt', '10.9.9.9'));
  await stage.runtime.advance(EVERY_MS);
  await look();
  expect((await useEvents()).map(({ about, data }) => [about.lease, data])).toEqual([
    [
      leaseId,
      { how: 'session', seenAt: firstSeenAt, since: firstSeenAt, address: '10.1.2.3', application: 'psql' },
    ],
    [leaseId, expect.objectContaining({ address: '10.9.9.9', application: 'dbt' })],
  ]);
  await stage.runtime.advance(EVERY_MS);
  const lastSeenAt = new Date(stage.runtime.now()).toISOString();
  value(await hallpass.verbs.completeTask(holder, taskId, 0));
  expect((await endEvent(leaseId))?.use).toEqual({
    verdict: 'used',
    firstSeenAt,
    lastSeenAt,
    places: 2,
    more: false,
  });
});

test('observe: a lease that was looked at all its life and never seen says so at its end', async () => {
  const { look } = observer();
  await look();
  const { holder, taskId, leaseId } = await stage.open(hallpass);
  for (let looks = 0; looks < 3; looks++) {
    await stage.runtime.advance(EVERY_MS);
    await look();
  }
  value(await hallpass.verbs.completeTask(holder, taskId, 0));
  expect((await endEvent(leaseId))?.use).toEqual({ verdict: 'not-seen', lookedEverySeconds: 30 });
  expect((await stage.lease(leaseId)).use).toEqual({ verdict: 'not-seen', lookedEverySeconds: 30 });
});

const BREAKS: readonly [string, (look: () => Promise<unknown>) => Promise<void>][] = [
  ['nobody looked for a while', async () => stage.runtime.advance(GAP_MS + 1)],
  [
    'a look failed for a while',
    async (look) => {
      stage.warehouse.lookFault = () => {
        throw new ProviderError('target-unreachable', 'Cannot look: it is away');
      };
      for (let looks = 0; looks < 4; looks++) {
        await look().catch(() => {});
        await stage.runtime.advance(EVERY_MS);
      }
      stage.warehouse.lookFault = () => true;
    },
  ],
  [
    'looks could not take all for a while',
    async (look) => {
      stage.warehouse.lookFault = () => false;
      for (let looks = 0; looks < 4; looks++) {
        await look();
        await stage.runtime.advance(EVERY_MS);
      }
      stage.warehouse.lookFault = () => true;
    },
  ],
];
for (const [title, happen] of BREAKS)
  test(`observe: whether it was used is unknown when ${title}`, async () => {
    const { look } = observer();
    await look();
    const { holder, taskId, leaseId } = await stage.open(hallpass);
    await happen(look);
    await look();
    await stage.runtime.advance(EVERY_MS);
    await look();
    value(await hallpass.verbs.completeTask(holder, taskId, 0));
    expect((await endEvent(leaseId))?.use).toEqual({ verdict: 'unknown', why: 'observed-in-part' });
  });

test('observe: an end that took several attempts does not say that nothing was seen', async () => {
  const { look } = observer();
  await look();
  const { holder, taskId, leaseId } = await stage.open(hallpass);
  let failures = 0;
  stage.warehouse.fault = (call, phase) => {
    if (call === 'end' && phase === 'after' && failures++ === 0)
      throw new ProviderError('target-timeout', 'No answer in time');
  };
  value(await hallpass.verbs.completeTask(holder, taskId, 0));
  await stage.runtime.advance(5_000);
  await hallpass.reap();
  expect((await endEvent(leaseId))?.use).toEqual({ verdict: 'unknown', why: 'ended-in-parts' });
});

test('observe: a look whose sightings the store did not take is none', async () => {
  const { look } = observer();
  await look();
  const { holder, taskId, leaseId, opened } = await stage.open(hallpass);
  const { committer } = hallpass.broker;
  const commit: typeof committer.commit = async (unit) =>
    unit.events.some(({ kind }) => kind === 'credential.used')
      ? { ok: false, error: 'version' }
      : committer.commit(unit);
  Object.assign(hallpass.broker, { committer: { ...committer, commit } });
  stage.warehouse.sessions = [session(opened.credentials[0]!.lease)];
  for (let looks = 0; looks < 4; looks++) {
    await stage.runtime.advance(EVERY_MS);
    await look();
  }
  stage.warehouse.sessions = [];
  Object.assign(hallpass.broker, { committer });
  value(await hallpass.verbs.completeTask(holder, taskId, 0));
  expect((await endEvent(leaseId))?.use).toEqual({ verdict: 'unknown', why: 'observed-in-part' });
});

test('observe: a use that is written while a lease ends is in its end', async () => {
  const { look } = observer();
  await look();
  const { holder, taskId, leaseId, opened } = await stage.open(hallpass);
  const { lease } = opened.credentials[0]!;
  stage.warehouse.fault = async (call, phase) => {
    if (call !== 'end' || phase !== 'after') return;
    // It is gone by the time that the end looks, and was there when the observer did.
    stage.warehouse.sessions = [session(lease)];
    await look();
    stage.warehouse.sessions = [];
  };
  value(await hallpass.verbs.completeTask(holder, taskId, 0));
  expect(await stage.lease(leaseId)).toMatchObject({ state: 'ended', use: { verdict: 'used' } });
  expect((await endEvent(leaseId))?.use).toMatchObject({ verdict: 'used' });
  expect((await hallpass.events()).map(({ kind }) => kind).slice(-2)).toEqual([
    'credential.used',
    'lease.ended',
  ]);
});

test('observe: a client that changes its name with every session fills no log', async () => {
  const { look } = observer();
  const { opened, leaseId } = await stage.open(hallpass);
  for (let n = 0; n < 30; n++) {
    stage.warehouse.sessions = [session(opened.credentials[0]!.lease, `psql ${n}`)];
    await look();
    await stage.runtime.advance(1_000);
  }
  expect(await useEvents()).toHaveLength(8);
  expect((await stage.lease(leaseId)).use).toMatchObject({ verdict: 'used', more: true });
});

test('observe: one replica looks, and another goes on without a gap when it is gone', async () => {
  const other = await stage.start();
  const [first, second] = [observer(), observer(other)];
  expect(await first.look()).toBe(0);
  expect(await second.look()).toBeNull();
  const { holder, taskId, leaseId } = await stage.open(other);
  await stage.runtime.advance(EVERY_MS);
  expect(await second.look()).toBeNull();
  // The first is dead from here on.
  await stage.runtime.advance(EVERY_MS);
  expect(await second.look()).toBe(0);
  await stage.runtime.advance(EVERY_MS);
  value(await other.verbs.completeTask(holder, taskId, 0));
  expect((await endEvent(leaseId))?.use).toEqual({ verdict: 'not-seen', lookedEverySeconds: 30 });
});

test('observe: what a slow replica saw after it lost its turn does not count as a look', async () => {
  const other = await stage.start();
  const [first, second] = [observer(), observer(other)];
  await first.look();
  const { holder, taskId, leaseId } = await stage.open(hallpass);
  await stage.runtime.advance(GAP_MS + 1);
  stage.warehouse.lookFault = async () => {
    stage.warehouse.lookFault = () => true;
    stage.runtime.jump(2 * EVERY_MS);
    expect(await second.look()).toBe(0);
    return true;
  };
  await first.look();
  value(await hallpass.verbs.completeTask(holder, taskId, 0));
  expect((await endEvent(leaseId))?.use).toEqual({ verdict: 'unknown', why: 'observed-in-part' });
});

test('observe: leases are found by what is known of their use', async () => {
  const { look } = observer();
  await look();
  const used = await stage.open(hallpass);
  const unused = await stage.open(hallpass);
  stage.warehouse.sessions = [session(used.opened.credentials[0]!.lease)];
  await look();
  stage.warehouse.sessions.push({ ...session({ name: 'somebody' }) });
  for (const { holder, taskId } of [used, unused])
    value(await hallpass.verbs.completeTask(holder, taskId, 0));
  const operator = { ...used.holder };
  const found = async (use: 'used' | 'not-seen' | 'unknown', holder = operator) =>
    value(await hallpass.verbs.listLeases(holder, { use }, { cursor: null, limit: 10 })).leases.map(
      ({ id }) => id,
    );
  expect(await found('used')).toEqual([used.leaseId]);
  expect(await found('not-seen')).toEqual([]);
  expect(await found('not-seen', unused.holder)).toEqual([unused.leaseId]);
});

test('runObservers: looks again and again, and a target that is away does not end it', async () => {
  const stop = new AbortController();
  const running = runObservers(hallpass.broker, stop.signal);
  let looks = 0;
  stage.warehouse.lookFault = () => {
    looks++;
    throw new ProviderError('target-unreachable', 'Cannot look: it is away');
  };
  for (let n = 1; n <= 3; n++) {
    await until(() => looks === n, 'a look');
    // That of the other target as well.
    await until(() => stage.runtime.sleeping() === 2, 'the waits after it');
    await stage.runtime.advance(EVERY_MS);
  }
  stop.abort();
  await running;
  expect(hallpass.logged.some((line) => line.includes('cannot look who uses credentials'))).toBe(true);
});

test('observe: by a clock that is wrong nobody looks, and nothing is said of the time', async () => {
  let fault: string | null = null;
  const clock = { fault: async () => fault, compare: async () => fault };
  const replica = await stage.start({ clock });
  const { look } = observer(replica);
  await look();
  const { holder, taskId, leaseId } = await stage.open(replica);
  fault = 'an hour ahead';
  for (let looks = 0; looks < 4; looks++) {
    await stage.runtime.advance(EVERY_MS);
    expect(await look()).toBeNull();
  }
  fault = null;
  value(await replica.verbs.completeTask(holder, taskId, 0));
  expect((await endEvent(leaseId))?.use).toEqual({ verdict: 'unknown', why: 'observed-in-part' });
});
