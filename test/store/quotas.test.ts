import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { createCommitter } from '../../src/store/commit.ts';
import { ensureQuotas, grantQuota } from '../../src/store/quotas.ts';
import { leaseRow, taskRow } from '../support/rows.ts';
import { createTestRuntime } from '../support/runtime.ts';
import { postgresStore } from '../support/stores.ts';
import { openWatchedStore } from '../support/watched-store.ts';

const postgres = await postgresStore();
afterAll(async () => {
  if (postgres.ok) await postgres.store.stop();
});

test('ensureQuotas: does not meet a commit head-on that changes the leases it counts', async (ctx) => {
  if (!postgres.ok) return ctx.skip(postgres.reason);
  const runtime = createTestRuntime();
  const url = await postgres.freshUrl('migrated');
  await using store = await openWatchedStore(url);
  const { database, waiting } = store;
  const held = new pg.Client({ connectionString: url });
  const committer = createCommitter(database, runtime);
  // In the table, and so in the order in which it is read, the newest comes first.
  const task = taskRow(runtime);
  const active = { state: 'active', dueAt: runtime.now() + 900_000 } as const;
  const leases = [1, 2, 3].map(() => leaseRow(runtime, task, active));
  await committer.commit({ newTask: task, newLeases: leases.toReversed(), events: [] });

  await held.connect();
  try {
    await held.query('begin');
    await held.query('select from lease where id = $1 for update', [leases[1]?.id]);
    const counted = ensureQuotas(database, [task.grant], runtime.now());
    await waiting(1);
    const noted = leases.map((lease) => ({ ...lease, lastError: 'seen' }));
    const committed = committer.commit({ changedLeases: noted, events: [] });
    await waiting(2);
    await held.query('commit');
    await counted;
    expect(await committed).toEqual({ ok: false, error: 'version' });
    expect(store.failures).toEqual([]);
    const text = 'select live from quota where key = $1';
    expect(await database.query({ name: 'live', text }, [grantQuota(task.grant)])).toEqual([{ live: 3 }]);
  } finally {
    await held.end();
  }
});
