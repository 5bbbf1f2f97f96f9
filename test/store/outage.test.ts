import { afterAll, expect, test } from 'vitest';
import { HallpassError } from '../../src/errors.ts';
import { openDatabase } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { asking, type TestBroker, value, WORKLOAD } from '../support/broker.ts';
import { until } from '../support/runtime.ts';
import { createStage } from '../support/stage.ts';
import { MIGRATIONS, ownPostgresStore } from '../support/stores.ts';

const postgres = await ownPostgresStore();
afterAll(async () => {
  if (postgres.ok) await postgres.store.stop();
});

test('store: the database is killed in mid-request: an error that says so, nothing lost, and all is well after its restart', async (ctx) => {
  if (!postgres.ok) return ctx.skip(postgres.reason);
  const { server } = postgres;
  const store = {
    ...postgres.store,
    async open() {
      const database = await openDatabase({ url: await postgres.freshUrl(), directory: null });
      await migrate(database, MIGRATIONS);
      return database;
    },
  };
  const stage = await createStage(store);
  const { warehouse, runtime } = stage;
  const hallpass: TestBroker = await stage.start();
  const before = await stage.open(hallpass);

  let release: (() => void) | null = null;
  warehouse.fault = (call, phase) =>
    call === 'mint' && phase === 'after'
      ? new Promise<void>((resolve) => {
          release = resolve;
        })
      : undefined;
  const code = (error: unknown) => (error instanceof HallpassError ? error.code : error);
  const opening = hallpass.verbs.openTask(WORKLOAD, asking()).catch(code);
  await until(() => release !== null, 'the mint');
  await server.kill();
  release!();
  // It was made; that cannot be written; so it is not handed out.
  expect(await opening).toBe('store-unavailable');
  expect(warehouse.live.size).toBe(2);
  warehouse.fault = () => {};
  const refused = await Promise.all([
    hallpass.verbs.openTask(WORKLOAD, asking()).catch(code),
    hallpass.verbs.completeTask(before.holder, before.taskId, 0).catch(code),
    hallpass.verbs.renewLease(before.holder, before.leaseId, 60).catch(code),
    hallpass.verbs.identify({ kind: 'bearer', token: before.opened.token! }, 'test').catch(code),
    hallpass.verbs.readLease(before.holder, before.leaseId).catch(code),
    hallpass.reaper.tick().catch(code),
    // Even a refusal is not given without its evidence.
    hallpass.verbs.openTask(WORKLOAD, asking({ grant: 'none' })).catch(code),
  ]);
  expect(refused).toEqual(Array(7).fill('store-unavailable'));
  expect(warehouse.minted).toHaveLength(2);

  await server.restart();
  runtime.jump(20_000);
  await hallpass.reap();
  expect([...warehouse.live.keys()]).toEqual([before.opened.credentials[0]!.lease.name]);
  value(await hallpass.verbs.completeTask(before.holder, before.taskId, 0));
  expect(warehouse.live.size).toBe(0);
  value(await hallpass.verbs.openTask(WORKLOAD, asking()));
  await stage.check();
  await stage.close();
});
