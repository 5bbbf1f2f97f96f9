import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { createLogVerbs } from '../../src/broker/log.ts';
import type { Caller } from '../../src/broker/verbs.ts';
import { callerOf, onceOnly, reason, type TestBroker, value, WORKLOAD } from '../support/broker.ts';
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

const AUDITOR = callerOf({}, ['auditor']);
const PAGE = { cursor: null, limit: 100 };

test('reading: tenants see their own and never each other, and cannot tell what is there', async () => {
  const mine = await stage.open(hallpass);
  const other = await stage.open(hallpass);
  const { verbs } = hallpass;
  expect(value(await verbs.readTask(mine.holder, mine.taskId)).leases).toHaveLength(1);
  expect(value(await verbs.readLease(mine.holder, mine.leaseId)).id).toBe(mine.leaseId);
  for (const id of [other.taskId, '0'.repeat(26)])
    expect(reason(await verbs.readTask(mine.holder, id))).toBe('not-found');
  for (const id of [other.leaseId, '0'.repeat(26)])
    expect(reason(await verbs.readLease(mine.holder, id))).toBe('not-found');
  const { leases } = value(await verbs.listLeases(mine.holder, { task: other.taskId }, PAGE));
  expect(leases.map((lease) => lease.id)).toEqual([mine.leaseId]);
  for (const caller of [mine.holder, WORKLOAD]) {
    expect(reason(await verbs.listTasks(caller, {}, PAGE))).toBe('not-allowed');
    expect(reason(await verbs.readAudit(caller, {}, PAGE))).toBe('not-allowed');
  }
  expect(reason(await verbs.listLeases(WORKLOAD, {}, PAGE))).toBe('not-allowed');
  expect(reason(await verbs.readTask(WORKLOAD, mine.taskId))).toBe('not-found');
});

test('reading: what an auditor reads is in the log before he has it; a holder reading his own is not', async () => {
  const { holder, taskId, leaseId } = await stage.open(hallpass);
  const { verbs } = hallpass;
  const before = (await hallpass.events()).length;
  value(await verbs.readTask(holder, taskId));
  value(await verbs.listLeases(holder, {}, PAGE));
  expect(await hallpass.events()).toHaveLength(before);
  value(await verbs.readTask(AUDITOR, taskId));
  value(await verbs.readLease(AUDITOR, leaseId));
  value(await verbs.listTasks(AUDITOR, { state: 'open' }, PAGE));
  value(await verbs.listLeases(AUDITOR, { live: true }, PAGE));
  const { events } = value(await verbs.readAudit(AUDITOR, { kind: 'disclosed' }, PAGE));
  expect(events.map((event) => event.data)).toEqual([
    { what: 'task', filter: { task: taskId } },
    { what: 'lease', filter: { lease: leaseId } },
    { what: 'tasks', filter: { state: 'open' } },
    { what: 'leases', filter: { live: true } },
    { what: 'audit', filter: { kind: 'disclosed' } },
  ]);
});

test('reading: evidence that may be used once serves one read, whatever is read', async () => {
  const { verbs } = hallpass;
  const reads: Readonly<Record<string, (by: Caller) => Promise<{ readonly ok: boolean }>>> = {
    grants: (by) => verbs.availableGrants(by),
    requests: (by) => verbs.listRequests(by),
    reviews: (by) => verbs.listReviews(by),
    leases: (by) => verbs.listLeases(by, {}, PAGE),
    tile: (by) => createLogVerbs(hallpass.broker, false).tile(by, { level: 0, n: 0, width: 1 }),
  };
  for (const [what, read] of Object.entries(reads)) {
    const by = onceOnly(AUDITOR, what);
    const first = await read(by);
    expect(first.ok ? 'ok' : reason(first), what).not.toBe('unauthenticated');
    expect(reason(await read(by)), what).toBe('unauthenticated');
    // Another replica knows it too.
    expect(reason(await (await stage.start()).verbs.listTasks(by, {}, PAGE)), what).toBe('unauthenticated');
  }
});

test('reading: pages by cursor give everything once, and a cursor that is not ours is refused', async () => {
  const ids = new Set<string>();
  for (let i = 0; i < 5; i++) ids.add((await stage.open(hallpass)).leaseId);
  const { verbs } = hallpass;
  const seen: string[] = [];
  for (let page = { cursor: null as string | null, limit: 2 }, more = true; more; ) {
    const { leases, nextCursor } = value(await verbs.listLeases(AUDITOR, {}, page));
    seen.push(...leases.map((lease) => lease.id));
    more = nextCursor !== null;
    page = { cursor: nextCursor, limit: 2 };
  }
  expect(seen).toEqual([...ids].sort());
  const logged: string[] = [];
  for (let page = { cursor: null as string | null, limit: 2 }, more = true; more; ) {
    const newest = { kind: 'lease.issued', order: 'newest' } as const;
    const { events, nextCursor } = value(await verbs.readAudit(AUDITOR, newest, page));
    logged.push(...events.map((event) => event.id));
    more = nextCursor !== null;
    page = { cursor: nextCursor, limit: 2 };
  }
  expect(new Set(logged).size).toBe(5);
  expect(logged).toHaveLength(5);
  expect(reason(await verbs.readAudit(AUDITOR, {}, { cursor: 'x', limit: 2 }))).toBe('invalid-request');
});

test('reading: what is overdue is listed until it has ended', async () => {
  const { holder, taskId, leaseId } = await stage.open(hallpass);
  stage.warehouse.fault = (call) => {
    if (call === 'end') throw new Error('away');
  };
  value(await hallpass.verbs.completeTask(holder, taskId, 0));
  const overdue = async () =>
    value(await hallpass.verbs.listLeases(AUDITOR, { overdue: true }, PAGE)).leases.map((lease) => lease.id);
  expect(await overdue()).toEqual([]);
  for (let i = 0; i < 10; i++) {
    stage.runtime.jump(10_000);
    await hallpass.reap();
  }
  expect(await overdue()).toEqual([leaseId]);
  stage.warehouse.fault = () => {};
  stage.runtime.jump(300_000);
  await hallpass.reap();
  expect(await overdue()).toEqual([]);
});
