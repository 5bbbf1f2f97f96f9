import pg from 'pg';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createCommitter } from '../../src/store/commit.ts';
import type { Database } from '../../src/store/database.ts';
import { finishKill, liftBlock, markKill, orderKill, readKill } from '../../src/store/kills.ts';
import type { KillRow } from '../../src/store/rows.ts';
import { killRow, leaseRow, taskRow } from '../support/rows.ts';
import { createTestRuntime, type TestRuntime } from '../support/runtime.ts';
import { embeddedStore, postgresStore } from '../support/stores.ts';
import { openWatchedStore } from '../support/watched-store.ts';

const postgres = await postgresStore();
const stores = [await embeddedStore(), ...(postgres.ok ? [postgres.store] : [])];
afterAll(() => Promise.all(stores.map((store) => store.stop())));

/** Small, so that what is to be marked takes several passes of several batches. */
const BATCH = 7;

describe.for(stores)('kill: marks on $name', (store) => {
  let database: Database;
  let runtime: TestRuntime;
  beforeEach(async () => {
    runtime = createTestRuntime();
    database = await store.open();
    return () => database.close();
  });

  async function begin(subject: string, count: number): Promise<void> {
    const committer = createCommitter(database, runtime);
    const open = async () => {
      const task = taskRow(runtime, { subject });
      const active = { state: 'active', dueAt: runtime.now() + 900_000 } as const;
      await committer.commit({ newTask: task, newLeases: [leaseRow(runtime, task, active)], events: [] });
    };
    await Promise.all(Array.from({ length: count }, open));
  }

  async function order(match: Partial<KillRow>): Promise<KillRow> {
    const row = killRow(runtime, match);
    const data = { id: row.id, reason: row.reason, match: {} };
    await orderKill(database, runtime, row, [], {
      kind: 'kill.ordered',
      actor: { kind: 'system' },
      about: {},
      data,
    });
    return row;
  }

  async function standing(table: 'lease' | 'task') {
    const due = table === 'lease' ? 'due_at' : 'expires_at';
    const text = `select subject, version, end_reason as reason, ${due} <= $1 as due, count(*)::int as count
      from ${table} group by 1, 2, 3, 4 order by 1`;
    return database.query({ name: `standing_${table}`, text }, [new Date(runtime.now()).toISOString()]);
  }

  test('markKill: several batches at once, by two replicas, mark each lease and task once', async () => {
    await begin('stolen', 60);
    await begin('other', 5);
    const row = await order({ issuer: 'ci', subject: 'stolen' });
    runtime.jump(1_000);
    const replica = () => markKill(database, row, runtime.now(), BATCH);
    await Promise.all([replica(), replica()]);
    for (const table of ['lease', 'task'] as const) {
      expect(await standing(table)).toEqual([
        { subject: 'other', version: 1, reason: null, due: false, count: 5 },
        { subject: 'stolen', version: 2, reason: 'killed', due: true, count: 60 },
      ]);
    }
    expect(await readKill(database, row.id)).toMatchObject({ leases: 60, tasks: 60 });
  });

  test('markKill: of a kill that was carried out touches nothing that began since', async () => {
    const row = await order({ issuer: 'ci' });
    await markKill(database, row, runtime.now(), BATCH);
    await finishKill(database, runtime, row.id, runtime.now(), ({ id, tasks, leases }) => ({
      kind: 'kill.marked',
      actor: { kind: 'system' },
      about: {},
      data: { id, tasks, leases },
    }));
    const lift = { at: runtime.now(), by: row.orderedBy, reason: 'found' };
    await liftBlock(database, runtime, row.id, lift, {
      kind: 'block.lifted',
      actor: { kind: 'system' },
      about: {},
      data: { id: row.id, reason: 'found' },
    });
    await begin('someone', 3);
    // A replica that is slow is still at it.
    await markKill(database, row, runtime.now(), BATCH);
    for (const table of ['lease', 'task'] as const)
      expect(await standing(table)).toMatchObject([{ version: 1, reason: null, count: 3 }]);
  });

  test('markKill: of a target leaves the tasks, which may hold credentials elsewhere', async () => {
    await begin('someone', 20);
    const row = await order({ target: 'warehouse' });
    await markKill(database, row, runtime.now(), BATCH);
    expect(await standing('task')).toMatchObject([{ version: 1, reason: null, count: 20 }]);
    expect(await readKill(database, row.id)).toMatchObject({ leases: 20, tasks: 0 });
  });
});

test('markKill: does not meet a commit head-on that changes the same leases', async (ctx) => {
  if (!postgres.ok) return ctx.skip(postgres.reason);
  const runtime = createTestRuntime();
  const url = await postgres.freshUrl('migrated');
  await using store = await openWatchedStore(url);
  const { database, waiting } = store;
  const held = new pg.Client({ connectionString: url });
  const committer = createCommitter(database, runtime);
  // In the table, and so in the order in which it is read, the newest comes first.
  const task = taskRow(runtime, { subject: 'stolen' });
  const active = { state: 'active', dueAt: runtime.now() + 900_000 } as const;
  const leases = [1, 2, 3].map(() => leaseRow(runtime, task, active));
  await committer.commit({ newTask: task, newLeases: leases.toReversed(), events: [] });
  const row = killRow(runtime, { subject: 'stolen', issuer: 'ci' });
  const told = { actor: { kind: 'system' }, about: {} } as const;
  const data = { id: row.id, reason: row.reason, match: {} };
  await orderKill(database, runtime, row, [], { ...told, kind: 'kill.ordered', data });

  await held.connect();
  try {
    await held.query('begin');
    await held.query('select from lease where id = $1 for update', [leases[1]!.id]);
    const marked = markKill(database, row, runtime.now());
    await waiting(1);
    const renewed = leases.map((lease) => ({ ...lease, lastError: 'seen' }));
    const committed = committer.commit({ changedLeases: renewed, events: [] });
    await waiting(2);
    await held.query('commit');
    await marked;
    expect(await committed).toEqual({ ok: false, error: expect.stringMatching('version|blocked') });
    expect(store.failures).toEqual([]);
    expect(await readKill(database, row.id)).toMatchObject({ leases: 3, tasks: 1 });
  } finally {
    await held.end();
  }
});
