import { expect, onTestFinished, test } from 'vitest';
import { fakeProvider } from '../../fakes/provider.ts';
import { asking, callerOf, createTestBroker, reason, value } from '../../support/broker.ts';
import { anyStore } from '../../support/stores.ts';
import { openKeysWorld } from './world.ts';

const CREDENTIAL = { target: 'warehouse', ttl: { max: '1h', cap: '4h' }, scope: { role: 'reader' } };
const TASK = { tasks: ['nightly'], credentials: { db: CREDENTIAL } };
const SCHEDULER = { issuer: 'legacy', claims: { sub: 'scheduler' } };

/** A broker that knows workloads by their pinned keys, and by nothing else. */
async function openBroker(own: Record<string, unknown> = {}) {
  const keys = await openKeysWorld(own);
  const store = await anyStore();
  const database = await store.open();
  onTestFinished(async () => {
    await database.close();
    await store.stop();
    await keys.signer.close();
  });
  const world = fakeProvider({ now: keys.runtime.now });
  const grants = {
    report: { ...TASK, who: [SCHEDULER] },
    handed: { ...TASK, who: [{ issuer: 'ci', claims: { sub: 'job' }, actor: SCHEDULER }] },
  };
  const hallpass = await createTestBroker({
    database,
    runtime: keys.runtime,
    worlds: { warehouse: world },
    attestors: [keys.attestor],
    grants,
  });
  return { ...hallpass, ...keys, world };
}

test('openTask: of one assertion that is used ten times at once, one use counts (14)', async () => {
  const { verbs, events, sign, world } = await openBroker();
  const evidence = await sign();
  const answers = await Promise.all(
    Array.from({ length: 10 }, async () =>
      verbs.openTask(value(await verbs.identify(evidence, 'openTask')), asking()),
    ),
  );
  expect(answers.filter((answer) => answer.ok)).toHaveLength(1);
  for (const answer of answers) if (!answer.ok) expect(answer.error.reason).toBe('unauthenticated');
  expect(world.live.size).toBe(1);
  expect((await events()).filter(({ kind }) => kind === 'task.opened')).toHaveLength(1);
});

test('renewLease, addCredentials: an exception that ends meanwhile ends renewals, of whoever opened and of who acts for him (49)', async () => {
  const { verbs, runtime, sign, reap, world } = await openBroker({ expires: '2026-03-02' });
  const midnight = Date.parse('2026-03-02T00:00:00Z');
  runtime.jump(midnight - 1_800_000 - runtime.now());
  const iat = runtime.now() / 1000;
  const assertion = () => sign({ iat, exp: iat + 60 });
  const job = callerOf({ sub: 'job' });
  const scheduler = value(await verbs.identify(await assertion(), 'test'));
  const opened = [
    value(await verbs.openTask(scheduler, asking())),
    value(await verbs.openTask(job, asking({ grant: 'handed', actor: await assertion() }))),
  ];
  const holders = await Promise.all(
    opened.map(async ({ token }) =>
      value(await verbs.identify({ kind: 'bearer', token: token ?? '' }, 'test')),
    ),
  );
  const renew = (i: number) => verbs.renewLease(holders[i]!, opened[i]!.credentials[0]!.lease.id, null);
  const more = { credentials: ['db'], ttlSeconds: null };

  runtime.jump(midnight - 1 - runtime.now());
  for (const i of [0, 1]) value(await renew(i));
  runtime.jump(1);
  for (const i of [0, 1]) {
    expect(reason(await renew(i))).toBe('not-allowed');
    expect(reason(await verbs.addCredentials(holders[i]!, opened[i]!.task.id, more))).toBe('not-allowed');
  }
  // What it has, it keeps until its time is up, and then it is gone.
  expect(world.live.size).toBe(2);
  runtime.jump(3_600_000);
  await reap();
  expect(world.live.size).toBe(0);
});
