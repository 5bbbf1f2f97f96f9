import { expect, onTestFinished, test } from 'vitest';
import { fakeProvider } from '../../fakes/provider.ts';
import { asking, createTestBroker, value } from '../../support/broker.ts';
import { anyStore } from '../../support/stores.ts';
import { openKeysWorld } from './world.ts';

test('openTask: of one assertion that is used ten times at once, one use counts (14)', async () => {
  const { runtime, signer, attestor, sign } = await openKeysWorld();
  const store = await anyStore();
  const database = await store.open();
  onTestFinished(async () => {
    await database.close();
    await store.stop();
    await signer.close();
  });
  const world = fakeProvider({ now: runtime.now });
  const { verbs, events } = await createTestBroker({
    database,
    runtime,
    worlds: { warehouse: world },
    attestors: [{ ...attestor, issuer: 'ci' }],
    grants: {
      report: {
        who: [{ issuer: 'ci', claims: { sub: 'scheduler' } }],
        tasks: ['nightly'],
        credentials: { db: { target: 'warehouse', ttl: { max: '1h' }, scope: { role: 'reader' } } },
      },
    },
  });
  const evidence = await sign();
  const answers = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const caller = value(await verbs.identify(evidence, 'openTask'));
      const named =
        caller.kind === 'principal'
          ? { ...caller, principal: { ...caller.principal, issuer: 'ci' } }
          : caller;
      return verbs.openTask(named, asking());
    }),
  );
  expect(answers.filter((answer) => answer.ok)).toHaveLength(1);
  for (const answer of answers) if (!answer.ok) expect(answer.error.reason).toBe('unauthenticated');
  expect(world.live.size).toBe(1);
  expect((await events()).filter(({ kind }) => kind === 'task.opened')).toHaveLength(1);
});
