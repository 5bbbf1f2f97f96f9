import { afterAll, describe, expect, test } from 'vitest';
import type { NewEvent } from '../../src/audit/event.ts';
import { changeLease } from '../../src/broker/lease.ts';
import { HallpassError } from '../../src/errors.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { createCommitter, type Unit } from '../../src/store/commit.ts';
import { listEvents } from '../../src/store/events.ts';
import { leasesOfTask, readTask } from '../../src/store/tasks.ts';
import { leaseRow, taskRow } from '../support/rows.ts';
import { embeddedStore, postgresStore } from '../support/stores.ts';

const postgres = await postgresStore();
const stores = [await embeddedStore(), ...(postgres.ok ? [postgres.store] : [])];
afterAll(() => Promise.all(stores.map((store) => store.stop())));

if (!postgres.ok) test.skip('commit: on a real Postgres', (ctx) => ctx.skip(postgres.reason));

const noted: NewEvent = {
  kind: 'disclosed',
  actor: { kind: 'system' },
  about: {},
  data: { what: 'test', filter: {} },
};

for (const store of stores) {
  describe(`commit on ${store.name}`, () => {
    test('commit: a unit that the database cannot take fails alone', async () => {
      const database = await store.open();
      const committer = createCommitter(database, systemRuntime);
      const good = Array.from({ length: 10 }, () => taskRow(systemRuntime));
      const other = taskRow(systemRuntime);
      const bad: Unit[] = [
        { newTask: taskRow(systemRuntime, { purpose: 'a\0b' }), events: [noted] },
        { newTask: taskRow(systemRuntime, { parameters: { region: '\ud83d' } }), events: [noted] },
        { newTask: taskRow(systemRuntime, { expiresAt: Number.NaN }), events: [noted] },
        { newTask: taskRow(systemRuntime, { heartbeatSeconds: 2 ** 40 }), events: [noted] },
        { newTask: taskRow(systemRuntime, { name: null as never }), events: [noted] },
        { newLeases: [leaseRow(systemRuntime, other)], events: [noted] },
        { newTask: good[0]!, events: [noted] },
      ];
      const units: Unit[] = good.map((newTask) => ({ newTask, events: [noted] }));
      const results = await Promise.allSettled([
        ...units.slice(0, 5).map((unit) => committer.commit(unit)),
        ...bad.map((unit) => committer.commit(unit)),
        ...units.slice(5).map((unit) => committer.commit(unit)),
      ]);
      const failed = results.map((result) => result.status === 'rejected');
      expect(failed).toEqual([...Array(5).fill(false), ...Array(7).fill(true), ...Array(5).fill(false)]);
      for (const task of good) expect(await readTask(database, task.id)).toEqual(task);
      expect(await listEvents(database, {}, null, 100)).toHaveLength(10);
      expect(committer.pending).toBe(0);
      await database.close();
    });

    test('commit: a change sends only what can change, and leaves the rest as it is stored', async () => {
      const database = await store.open();
      const committer = createCommitter(database, systemRuntime);
      const task = taskRow(systemRuntime);
      const lease = leaseRow(systemRuntime, task);
      await committer.commit({ newTask: task, newLeases: [lease], events: [] });
      const at = systemRuntime.now();
      const ending = { do: 'begin-ending', reason: 'revoked', at, dueAt: at, attempts: 1 } as const;
      const changed = { ...changeLease(lease, ending), scope: { role: 'other' }, name: 'other' };
      const closed = { ...task, name: 'other', state: 'ended', endedAt: at, exitStatus: 3 } as const;
      expect((await committer.commit({ changedTask: closed, changedLeases: [changed], events: [] })).ok).toBe(
        true,
      );
      expect(await leasesOfTask(database, task.id)).toEqual([
        { ...changed, scope: lease.scope, name: lease.name, version: 2 },
      ]);
      expect(await readTask(database, task.id)).toEqual({ ...closed, name: task.name, version: 2 });
      await database.close();
    });
  });
}

test('commit: a database that is away fails all that wait, once each and without trying them singly', async () => {
  let asked = 0;
  const away = {
    query: () => {
      asked++;
      return Promise.reject(new HallpassError('store-unavailable', 'The database is away'));
    },
  };
  const committer = createCommitter(away as never, systemRuntime);
  const results = await Promise.allSettled(
    Array.from({ length: 300 }, () => committer.commit({ events: [noted] })),
  );
  expect(results.every((result) => result.status === 'rejected')).toBe(true);
  expect(asked).toBe(3);
});
