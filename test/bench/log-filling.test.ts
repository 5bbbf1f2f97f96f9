import { afterAll, expect, onTestFinished, test } from 'vitest';
import type { NewEvent } from '../../src/audit/event.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { newId } from '../../src/runtime.ts';
import { createCommitter } from '../../src/store/commit.ts';
import { listEvents } from '../../src/store/events.ts';
import { openTestLog, storedLog } from '../support/log.ts';
import { createTestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';
import { openLogFilling } from './log-filling.ts';

const store = await anyStore();
afterAll(() => store.stop());

const DAY_MS = 86_400_000;

test('openLogFilling: what it adds is sequenced and verified as what the broker wrote', async () => {
  const database = await store.open();
  onTestFinished(() => database.close());
  const runtime = createTestRuntime();
  const committer = createCommitter(database, runtime);
  for (const events of lifecycle(newId(runtime), newId(runtime), runtime.now())) {
    await committer.commit({ events });
    runtime.jump(20);
  }
  const { sequence, signer } = await openTestLog(database, runtime);
  expect(await sequence()).toBe(6);
  const seen = await verify();

  const to = runtime.now() - DAY_MS;
  const filling = await openLogFilling(database, { events: 2_000, from: to - 60 * DAY_MS, to });
  await filling.add(700);
  await filling.add(1_500);
  expect(await sequence()).toBe(2_304);
  await verify([seen]);
  const [opening, ...rest] = await listEvents(database, { subject: 'job-919' }, null, 10);
  expect(rest.map(({ event: { kind } }) => kind)).toContain('task.ended');
  expect(opening?.event).toMatchObject({ kind: 'task.opened', data: { name: '100 % of it' } });
  const life = await listEvents(database, { task: opening?.event.about.task }, null, 10);
  expect(life.map(({ event: { kind } }) => kind)).toEqual([
    'task.opened',
    'lease.intended',
    'lease.issued',
    'task.ended',
    'lease.ending',
    'lease.ended',
  ]);
  const partitions = await database.query<{ month: string }>(
    { name: 'months', text: 'select distinct tableoid::regclass::text as month from audit_event order by 1' },
    [],
  );
  expect(partitions.map(({ month }) => month)).toContain('audit_event_2025_12');

  async function verify(before: { size: number; root: Uint8Array }[] = []) {
    const verified = await verifyLog(storedLog(database), { trusted: [signer.verifier], seen: before });
    expect(verified.findings).toEqual([]);
    expect(verified.unread).toBe(0);
    if (verified.checkpoint === null) throw new Error('There is no checkpoint');
    return verified.checkpoint;
  }
});

/** The events of a task that is opened and completed, as they are committed together. */
function lifecycle(taskId: string, leaseId: string, now: number): NewEvent[][] {
  const task = {
    actor: { kind: 'principal', issuer: 'ci', subject: 'repo:acme/etl' },
    about: { task: taskId, grant: 'report' },
  } as const;
  const about = { ...task.about, lease: leaseId, target: 'warehouse' };
  const lease = { actor: { kind: 'system' }, about } as const;
  const expiresAt = new Date(now + 900_000).toISOString();
  const asked = {
    name: '100 % of it',
    purpose: null,
    parameters: {},
    grantVersion: 'v1',
    taskGrant: null,
    claims: { repository_id: '42' },
    proof: { method: 'oidc', evidence: 'hash' },
    request: 'digest',
  };
  const credential = { credential: 'db', provider: 'memory', name: `hp_${leaseId}`, scope: {} };
  const end = { outcome: 'revoked', reason: 'completed', evidence: {} } as const;
  return [
    [
      { kind: 'task.opened', ...task, data: asked },
      { kind: 'lease.intended', ...lease, data: { ...credential, expiresAt, capAt: expiresAt } },
    ],
    [{ kind: 'lease.issued', ...lease, data: { expiresAt, sealed: false } }],
    [
      { kind: 'task.ended', ...task, data: { reason: 'completed', exitStatus: 0 } },
      { kind: 'lease.ending', ...task, about, data: { reason: 'completed' } },
    ],
    [{ kind: 'lease.ended', ...lease, data: end }],
  ];
}
