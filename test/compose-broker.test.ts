import { afterAll, expect, test } from 'vitest';
import { refuseForgottenTargets } from '../src/compose-broker.ts';
import type { Config } from '../src/config/config.ts';
import { value } from './support/broker.ts';
import { createStage } from './support/stage.ts';
import { anyStore } from './support/stores.ts';

const store = await anyStore();
afterAll(() => store.stop());

/** A configuration of these targets, as far as it is looked at. */
const naming = (...targets: string[]) =>
  ({ targets: new Map(targets.map((name) => [name, {}])) }) as unknown as Config;

test('refuseForgottenTargets: a target is left out once its last lease has ended, and not before (43)', async () => {
  const stage = await createStage(store);
  const hallpass = await stage.start();
  const start = (...targets: string[]) => refuseForgottenTargets(stage.database, naming(...targets));
  await start('cache');
  const { holder, taskId } = await stage.open(hallpass);
  const refused = { code: 'config-invalid', message: expect.stringContaining('live at "warehouse"') };
  for (const targets of [[], ['cache'], ['Warehouse']])
    await expect(start(...targets)).rejects.toMatchObject(refused);
  await start('warehouse', 'cache');
  // It has begun to end, and that fails: it is live still.
  stage.warehouse.fault = () => {
    throw new Error('away');
  };
  value(await hallpass.verbs.completeTask(holder, taskId, 0));
  await expect(start('cache')).rejects.toMatchObject(refused);
  stage.warehouse.fault = () => {};
  stage.runtime.jump(10_000);
  await hallpass.reap();
  await start('cache');
  await stage.check();
  await stage.close();
});
