import { afterAll, describe, expect, test } from 'vitest';
import type { NewEvent } from '../../src/audit/event.ts';
import { changeLease } from '../../src/broker/lease.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { createCommitter, type QuotaUse } from '../../src/store/commit.ts';
import type { Database } from '../../src/store/database.ts';
import { listEvents } from '../../src/store/events.ts';
import { claimDue, nextDue, readLease, targetsWithLiveLeases } from '../../src/store/leases.ts';
import { ensureQuotas, grantQuota } from '../../src/store/quotas.ts';
import { readRequest } from '../../src/store/requests.ts';
import { readReview } from '../../src/store/reviews.ts';
import type { LeaseRow } from '../../src/store/rows.ts';
import { leasesOfTask, readTask } from '../../src/store/tasks.ts';
import { committedRows } from '../support/commit-statement.ts';
import { leaseRow, requestRow, reviewRow, taskRow } from '../support/rows.ts';
import { createTestRuntime } from '../support/runtime.ts';
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

function quota(key: string, over: Partial<QuotaUse> = {}): QuotaUse {
  return { key, live: 1, total: 1, issued: 1, maxLive: null, maxTotal: null, maxIssuedAnHour: null, ...over };
}

async function countEvents(database: Database): Promise<number> {
  return (await listEvents(database, {}, null, 10_000)).length;
}

for (const store of stores) {
  describe(`commit on ${store.name}`, () => {
    test('commit: nothing is written by a clock that is wrong', async () => {
      const database = await store.open();
      const runtime = createTestRuntime();
      let fault: string | null = 'an hour ahead';
      const committer = createCommitter(database, runtime, async () => fault);
      const refused = await Promise.allSettled([1, 2, 3].map(() => committer.commit({ events: [noted] })));
      expect(refused).toMatchObject(Array(3).fill({ status: 'rejected', reason: { code: 'not-ready' } }));
      expect(await countEvents(database)).toBe(0);
      fault = null;
      expect((await committer.commit({ events: [noted] })).ok).toBe(true);
      expect(await countEvents(database)).toBe(1);
      await database.close();
    });

    test('commit: a unit that begins rows is read back as it was written', async () => {
      const database = await store.open();
      const runtime = createTestRuntime();
      const committer = createCommitter(database, runtime);
      const task = taskRow(runtime, {
        idempotencyKey: 'k',
        publicKey: { kty: 'EC' },
        heartbeatSeconds: 60,
        heartbeatDueAt: runtime.now() + 60_000,
      });
      const lease = leaseRow(runtime, task, {
        scope: { roles: ['o\'brien "x"', '\\'], deep: [1, null, { a: true }] },
      });
      expect(await committer.commit({ newTask: task, newLeases: [lease], events: [noted] })).toEqual({
        ok: true,
        value: undefined,
      });
      expect(await readTask(database, task.id)).toEqual(task);
      expect(await readLease(database, lease.id)).toEqual(lease);
      const active = changeLease(lease, {
        do: 'issue',
        issuedAt: runtime.now(),
        expiresAt: lease.expiresAt,
        dueAt: lease.expiresAt,
        handle: { a: [1] },
        sealed: 'jwe',
      });
      expect((await committer.commit({ changedLeases: [active], events: [] })).ok).toBe(true);
      expect(await leasesOfTask(database, task.id)).toEqual([{ ...active, version: 2 }]);
      expect(
        await claimDue(database, [{ target: 'warehouse', room: 5 }], active.expiresAt, active.expiresAt + 1),
      ).toEqual([{ ...active, version: 3, dueAt: active.expiresAt + 1 }]);
      await database.close();
    });

    test('commit: refuses a change to a version that is not there any more, with all that came with it', async () => {
      const database = await store.open();
      const committer = createCommitter(database, systemRuntime);
      const task = taskRow(systemRuntime);
      const [one, two] = [leaseRow(systemRuntime, task), leaseRow(systemRuntime, task)];
      await committer.commit({ newTask: task, newLeases: [one, two], events: [] });
      const begin = (lease: typeof one) =>
        changeLease(lease, {
          do: 'begin-ending',
          reason: 'revoked',
          at: systemRuntime.now(),
          dueAt: systemRuntime.now(),
          attempts: 0,
        });
      const results = await Promise.all([
        committer.commit({ changedLeases: [begin(one)], events: [noted] }),
        committer.commit({ changedLeases: [begin(one), begin(two)], events: [noted, noted] }),
        committer.commit({ changedTask: { ...task, version: 7 }, events: [noted] }),
      ]);
      expect(results).toEqual([
        { ok: true, value: undefined },
        { ok: false, error: 'version' },
        { ok: false, error: 'version' },
      ]);
      expect((await readLease(database, two.id))?.state).toBe('minting');
      expect(await countEvents(database)).toBe(1);
      await database.close();
    });

    test('commit: a request or a review that somebody else changed meanwhile stays as he left it', async () => {
      const database = await store.open();
      const [one, other] = [
        createCommitter(database, systemRuntime),
        createCommitter(database, systemRuntime),
      ];
      const task = taskRow(systemRuntime);
      const request = requestRow(systemRuntime);
      const review = reviewRow(systemRuntime, task);
      await one.commit({ newTask: task, newRequest: request, newReview: review, events: [] });
      const closing = { closedAt: systemRuntime.now(), closedBy: { issuer: 'ci', subject: 'bob' } };
      const first = { changedRequest: { ...request, state: 'denied', reason: 'no' } } as const;
      const closed = { changedReview: { ...review, ...closing, state: 'closed', finding: 'fine' } } as const;
      expect((await one.commit({ ...first, ...closed, events: [noted] })).ok).toBe(true);
      const late = { changedRequest: { ...request, state: 'redeemed', taskId: task.id } } as const;
      const again = { changedReview: { ...review, ...closing, state: 'closed', finding: 'else' } } as const;
      for (const unit of [late, again])
        expect(await other.commit({ ...unit, events: [noted] })).toEqual({ ok: false, error: 'version' });
      expect(await readRequest(database, request.id)).toMatchObject({ state: 'denied', taskId: null });
      expect(await readReview(database, review.id)).toMatchObject({ finding: 'fine' });
      expect(await countEvents(database)).toBe(1);
      await database.close();
    });

    test('commit: of what was asked in the same words one request waits or is approved', async () => {
      const database = await store.open();
      const [one, other] = [
        createCommitter(database, systemRuntime),
        createCommitter(database, systemRuntime),
      ];
      for (const state of ['pending', 'approved'] as const) {
        const ask = () => requestRow(systemRuntime, { state, digest: state });
        expect((await one.commit({ newRequest: ask(), events: [noted] })).ok).toBe(true);
        const repeated = { ok: false, error: 'repeated' };
        expect(await other.commit({ newRequest: ask(), events: [noted] })).toEqual(repeated);
      }
      expect(await countEvents(database)).toBe(2);
      await database.close();
    });

    test('commit: two groups are written at once, and what touches the same row one after the other, in the order of the calls', async () => {
      const database = await store.open();
      let most = 0;
      const inHand: (readonly { readonly id: string }[])[] = [];
      const watched: Database = {
        ...database,
        async query(statement, parameters) {
          const rows = committedRows<{ id: string }>(statement.name, parameters, 'changedLeases');
          const ids = new Set(inHand.flat().map(({ id }) => id));
          expect(rows.filter(({ id }) => ids.has(id))).toEqual([]);
          inHand.push(rows);
          most = Math.max(most, inHand.length);
          try {
            await systemRuntime.sleep(3);
            return await database.query(statement, parameters);
          } finally {
            inHand.splice(inHand.indexOf(rows), 1);
          }
        },
      };
      const committer = createCommitter(watched, systemRuntime);
      const task = taskRow(systemRuntime);
      const leases = Array.from({ length: 6 }, () => leaseRow(systemRuntime, task));
      await committer.commit({ newTask: task, newLeases: leases, events: [] });
      // Each holds only if the one before was written before it.
      const change = (some: readonly LeaseRow[]) =>
        Array.from({ length: 15 }, (_, i) =>
          some.map((lease) =>
            committer.commit({ changedLeases: [{ ...lease, version: i + 1 }], events: [noted] }),
          ),
        ).flat();
      const first = change(leases.slice(0, 3));
      await systemRuntime.sleep(1);
      const results = await Promise.all([...first, ...change(leases.slice(3))]);
      expect(results.filter(({ ok }) => !ok)).toEqual([]);
      expect(await countEvents(database)).toBe(90);
      expect(most).toBe(2);
      await database.close();
    });

    test('commit: a key opens one task, and evidence serves one request, however many ask at once', async () => {
      const database = await store.open();
      const committers = [createCommitter(database, systemRuntime), createCommitter(database, systemRuntime)];
      const opened = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          committers[i % 2]!.commit({
            newTask: taskRow(systemRuntime, { idempotencyKey: 'same' }),
            events: [noted],
          }),
        ),
      );
      expect(opened.filter((result) => result.ok)).toHaveLength(1);
      const used = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          committers[i % 2]!.commit({
            evidence: [{ id: 'jti', usedFor: `request ${i}`, keepUntil: systemRuntime.now() + 1000 }],
            events: [noted],
          }),
        ),
      );
      expect(used.filter((result) => result.ok)).toHaveLength(1);
      expect(new Set(used.flatMap((result) => (result.ok ? [] : [result.error])))).toEqual(
        new Set(['replayed']),
      );
      const usedFor = `request ${used.findIndex((result) => result.ok)}`;
      const again = {
        evidence: [{ id: 'jti', usedFor, keepUntil: systemRuntime.now() + 1000 }],
        events: [noted],
      };
      expect((await committers[0]!.commit(again)).ok).toBe(true);
      expect(await countEvents(database)).toBe(3);
      await database.close();
    });

    test('commit: limits hold across groups and replicas, and an ended lease gives its place back', async () => {
      const database = await store.open();
      const committers = [createCommitter(database, systemRuntime), createCommitter(database, systemRuntime)];
      await ensureQuotas(database, ['report'], systemRuntime.now());
      const key = grantQuota('report');
      const results = await Promise.all(
        Array.from({ length: 30 }, (_, i) =>
          committers[i % 2]!.commit({ quotas: [quota(key, { maxLive: 7 })], events: [noted] }),
        ),
      );
      expect(results.filter((result) => result.ok)).toHaveLength(7);
      expect(await countEvents(database)).toBe(7);
      await committers[0]!.commit({ quotas: [quota(key, { live: -1, total: 0, issued: 0 })], events: [] });
      const after = await Promise.all(
        [1, 2].map(() => committers[0]!.commit({ quotas: [quota(key, { maxLive: 7 })], events: [] })),
      );
      expect(after.map((result) => result.ok)).toEqual([true, false]);
      await database.close();
    });

    test('commit: what counts against an hour leaves it by and by, and a missing counter refuses', async () => {
      const database = await store.open();
      const runtime = createTestRuntime({ now: Date.parse('2026-03-01T12:50:00Z') });
      const committer = createCommitter(database, runtime);
      await ensureQuotas(database, ['report'], runtime.now());
      const use = { quotas: [quota(grantQuota('report'), { live: 0, maxIssuedAnHour: 6 })], events: [] };
      const granted = async () => {
        let count = 0;
        while ((await committer.commit(use)).ok) count++;
        return count;
      };
      expect(await granted()).toBe(6);
      runtime.jump(15 * 60_000);
      expect(await granted()).toBe(0);
      runtime.jump(30 * 60_000);
      expect(await granted()).toBe(3);
      runtime.jump(3 * 3_600_000);
      expect(await granted()).toBe(6);
      const missing = { quotas: [quota('grant:none', { maxLive: 1_000 })], events: [] };
      expect(await committer.commit(missing)).toEqual({ ok: false, error: 'limit' });
      await database.close();
    });

    test('claimDue: two replicas never claim the same lease, and a claim that times out comes up again', async () => {
      const database = await store.open();
      const runtime = createTestRuntime();
      const committer = createCommitter(database, runtime);
      const task = taskRow(runtime);
      const leases = Array.from({ length: 50 }, () => leaseRow(runtime, task));
      await committer.commit({ newTask: task, newLeases: leases, events: [] });
      runtime.jump(20_000);
      const now = runtime.now();
      const rooms = [
        { target: 'warehouse', room: 20 },
        { target: 'other', room: 20 },
      ];
      const claims = await Promise.all(
        Array.from({ length: 5 }, () => claimDue(database, rooms, now, now + 60_000)),
      );
      const ids = claims.flat().map((lease) => lease.id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.length).toBe(50);
      expect(await nextDue(database, ['warehouse'])).toBe(now + 60_000);
      expect(await claimDue(database, rooms, now + 59_999, now + 99_999)).toEqual([]);
      expect(await claimDue(database, rooms, now + 60_000, now + 99_999)).toHaveLength(20);
      expect(await targetsWithLiveLeases(database)).toEqual(['warehouse']);
      await database.close();
    });

    test('audit_event: refuses to change and to forget', async () => {
      const database = await store.open();
      await createCommitter(database, systemRuntime).commit({ events: [noted] });
      for (const text of [
        "update audit_event set body = ''",
        'delete from audit_event',
        'truncate audit_event',
      ]) {
        await expect(database.query({ name: text, text }, [])).rejects.toThrow('append-only');
      }
      expect(await countEvents(database)).toBe(1);
      await database.close();
    });
  });
}

// PGlite does one thing at a time.
if (postgres.ok) {
  const { store } = postgres;
  test('claimDue: passes over what another is claiming at this moment, and takes the next', async () => {
    const database = await store.open();
    const runtime = createTestRuntime();
    const task = taskRow(runtime);
    const [first, second] = [0, 1].map((after) => leaseRow(runtime, task, { dueAt: runtime.now() + after }));
    await createCommitter(database, runtime).commit({
      newTask: task,
      newLeases: [first!, second!],
      events: [],
    });
    const now = runtime.now() + 1;
    const claim = () => claimDue(database, [{ target: 'warehouse', room: 1 }], now, now + 60_000);
    // Holds the lease that is due longest, as a claim does up to its commit: until it is let go, or for five seconds.
    const held = database.script(`
      do $$ begin
        perform 1 from lease where id = '${first!.id}' for update;
        for i in 1..500 loop
          exit when exists (select from used_evidence where id = 'let go');
          perform pg_sleep(0.01);
        end loop;
      end $$`);
    const sleeps =
      "select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
    while ((await database.query({ name: 'test_sleeps', text: sleeps }, [])).length === 0);
    expect((await claim()).map(({ id }) => id)).toEqual([second!.id]);
    await database.script("insert into used_evidence select 'let go', 'x', now()");
    await held;
    expect((await claim()).map(({ id }) => id)).toEqual([first!.id]);
    await database.close();
  });
}
