import { afterAll, expect, test } from 'vitest';
import type { NewEvent } from '../../src/audit/event.ts';
import { changeLease } from '../../src/broker/lease.ts';
import { createCommitter } from '../../src/store/commit.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { claimDue, nextDue, readLease } from '../../src/store/leases.ts';
import { claimLog, openLog, pendingEvents, readLogHead } from '../../src/store/log.ts';
import type { LeaseRow } from '../../src/store/rows.ts';
import { readTaskAndLeases } from '../../src/store/tasks.ts';
import { leaseRow, taskRow } from '../support/rows.ts';
import { createTestRuntime } from '../support/runtime.ts';
import { ownPostgresStore } from '../support/stores.ts';

const postgres = await ownPostgresStore();
afterAll(() => (postgres.ok ? postgres.store.stop() : undefined));

/** What stands in the tables before anything is measured, and how much of it one statement may look at. */
const STANDING = 3_000;
const LOOKED_AT = 300;

const noted: NewEvent = {
  kind: 'disclosed',
  actor: { kind: 'system' },
  about: {},
  data: { what: 'test', filter: {} },
};

test('store: statements that run all the time look up what they need, though they were planned while the tables were empty', async (ctx) => {
  if (!postgres.ok) return ctx.skip(postgres.reason);
  // One connection, so that its plans are those that the measured statements run with.
  const database = await openDatabase({
    url: await postgres.freshUrl('migrated'),
    directory: null,
    connections: 1,
  });
  await database.script(
    'alter table lease set (autovacuum_enabled = off); alter table task set (autovacuum_enabled = off)',
  );
  await openLog(database, 'example.com/log');
  const runtime = createTestRuntime();
  const committer = createCommitter(database, runtime);

  async function live(): Promise<LeaseRow> {
    const task = taskRow(runtime);
    const lease = leaseRow(runtime, task, { dueAt: runtime.now() + 3_600_000 });
    await committer.commit({
      newTask: task,
      newLeases: [lease],
      evidence: [{ id: task.id, usedFor: task.id, keepUntil: task.expiresAt }],
      events: [noted],
    });
    return lease;
  }
  const steps: Record<string, (lease: LeaseRow) => Promise<unknown>> = {
    'commit of what begins': live,
    'commit of a change': (lease) =>
      committer.commit({
        changedLeases: [
          changeLease(lease, {
            do: 'issue',
            issuedAt: 1,
            expiresAt: lease.expiresAt,
            dueAt: lease.expiresAt,
            handle: {},
            sealed: null,
          }),
        ],
        events: [noted],
      }),
    'a task with its leases': (lease) => readTaskAndLeases(database, lease.taskId),
    'a lease': (lease) => readLease(database, lease.id),
    'the claim of what is due': ({ target }) =>
      claimDue(database, [{ target, room: 5 }], runtime.now() + 3_600_000, runtime.now() + 7_200_000),
    'what is due next': ({ target }) => nextDue(database, [target]),
    'events that wait for their indexes': async () => {
      await claimLog(database, 'me', runtime.now(), 60_000);
      return pendingEvents(database, 5);
    },
    'the head of the log': () => readLogHead(database),
  };
  // More often than it takes for a plan to be kept.
  for (let time = 0; time < 8; time++) for (const step of Object.values(steps)) await step(await live());
  const standing = await Promise.all(Array.from({ length: STANDING }, live));
  const read: Record<string, number> = {};
  for (const [index, [name, step]] of Object.entries(steps).entries()) {
    const before = await rowsRead(database);
    await step(standing[index] as LeaseRow);
    read[name] = (await rowsRead(database)) - before;
  }
  await database.close();
  expect(Object.entries(read).filter(([, rows]) => rows > LOOKED_AT)).toEqual([]);
  expect(read['the claim of what is due']).toBeGreaterThan(0);
});

/** Index entries and rows that statements of this database have read so far. */
async function rowsRead(database: Database): Promise<number> {
  await database.query({ name: 'flush', text: 'select pg_stat_force_next_flush()' }, []);
  const [row] = await database.query<{ rows: string }>(
    {
      name: 'rows_read',
      text: `select (select sum(idx_tup_read) from pg_stat_user_indexes) + (select sum(seq_tup_read) from pg_stat_user_tables) as rows`,
    },
    [],
  );
  return Number(row?.rows);
}
