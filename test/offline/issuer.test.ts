import { randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { KIT_ISSUER } from '../../src/offline/contents.ts';
import { readKitFile, sealKit } from '../../src/offline/envelope.ts';
import { kitIssuerKind } from '../../src/offline/issuer.ts';
import { newId, systemRuntime } from '../../src/runtime.ts';
import { fakeProvider } from '../fakes/provider.ts';
import { asking, createTestBroker, reason, value } from '../support/broker.ts';
import { createTestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

test('kitIssuerKind: what a kit opened is not renewed once the kit has expired', async () => {
  const store = await anyStore();
  const database = await store.open();
  onTestFinished(async () => {
    await database.close();
    await store.stop();
  });
  const runtime = createTestRuntime();
  const expiresAt = runtime.now() + 600_000;
  const { file } = await sealKit(
    systemRuntime,
    {
      id: newId(systemRuntime),
      url: 'https://hallpass.example',
      ca: null,
      grants: ['report'],
      expiresAt,
      threshold: 2,
      holders: ['ada', 'bob'],
      stateDirectory: '/nowhere',
    },
    'contents',
  );
  const { header } = value(readKitFile(file));
  const token = randomBytes(32).toString('base64url');
  const kind = kitIssuerKind({ header, codes: [0, 1], token });
  const attestor = kind.create(KIT_ISSUER, kind.settings.parse({ type: KIT_ISSUER }), runtime);
  const world = fakeProvider({ now: runtime.now });
  const credential = { target: 'warehouse', ttl: { max: '15m', cap: '4h' }, scope: { role: 'reader' } };
  const { verbs, reap } = await createTestBroker({
    database,
    runtime,
    worlds: { warehouse: world },
    attestors: [attestor],
    grants: {
      report: {
        who: [{ issuer: KIT_ISSUER, claims: { sub: header.id } }],
        tasks: ['nightly'],
        credentials: { db: credential },
      },
    },
  });
  const opened = value(
    await verbs.openTask(value(await verbs.identify({ kind: 'bearer', token }, 'openTask')), asking()),
  );
  const holder = value(await verbs.identify({ kind: 'bearer', token: opened.token ?? '' }, 'renew'));
  const renew = () => verbs.renewLease(holder, opened.credentials[0]!.lease.id, null);

  runtime.jump(599_999);
  value(await renew());
  runtime.jump(1);
  expect(reason(await renew())).toBe('not-allowed');
  // What it has, it keeps until its time is up.
  expect(world.live.size).toBe(1);
  runtime.jump(900_000);
  await reap();
  expect(world.live.size).toBe(0);
});
