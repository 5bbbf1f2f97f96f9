import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { Caller, KillAsk } from '../../src/broker/verbs.ts';
import { orderKill } from '../../src/store/kills.ts';
import {
  asking,
  callerOf,
  REPORT_GRANT,
  reason,
  type TestBroker,
  value,
  WORKLOAD,
} from '../support/broker.ts';
import { drive } from '../support/drive.ts';
import { until } from '../support/runtime.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let stage: Stage;
let hallpass: TestBroker;
const OPERATOR = callerOf({}, ['operator']);
const identity = { issuer: 'ci', subject: 'repo:acme/etl' };

beforeEach(async () => {
  stage = await createStage(store);
  hallpass = await stage.start();
});
afterEach(async () => {
  await stage.check();
  await stage.close();
});
afterAll(() => store.stop());

function killing(over: Partial<KillAsk> = {}): KillAsk {
  const none = { issuer: null, subject: null, grant: null, target: null, task: null, all: false };
  return { ...none, reason: 'a laptop was stolen', ...over };
}

const MATCHES: readonly [string, Partial<KillAsk>][] = [
  ['an issuer', { issuer: 'ci' }],
  ['a subject', identity],
  ['a grant', { grant: 'report' }],
  ['a target', { target: 'warehouse' }],
  ['all', { all: true }],
  ['several at once', { ...identity, grant: 'report' }],
];

for (const [what, match] of MATCHES) {
  test(`kill: by ${what} ends what matches, and keeps it out until the block is lifted`, async () => {
    const { leaseId, taskId } = await stage.open(hallpass);
    const { kill } = value(await hallpass.verbs.kill(OPERATOR, killing(match)));
    expect(kill).toMatchObject({ leases: 1, tasks: match.target ? 0 : 1, markedAt: expect.any(Number) });
    await hallpass.reap();
    expect(await stage.lease(leaseId)).toMatchObject({ outcome: 'revoked', endReason: 'killed' });
    expect(stage.warehouse.live.size).toBe(0);
    const { task } = value(await hallpass.verbs.readTask(OPERATOR, taskId));
    expect(task.state).toBe(match.target ? 'open' : 'ended');
    if (!match.target) expect(task.endReason).toBe('killed');

    const minted = stage.warehouse.minted.length;
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('not-allowed');
    expect(stage.warehouse.minted.length).toBe(minted);
    value(await hallpass.verbs.liftBlock(OPERATOR, kill.id, 'it was found again'));
    await stage.open(hallpass);
    expect(value(await hallpass.verbs.readKill(OPERATOR, kill.id)).rest).toEqual([]);
    const kinds = (await hallpass.events()).map(({ kind }) => kind);
    for (const kind of ['kill.ordered', 'kill.marked', 'block.lifted']) {
      expect(kinds.filter((k) => k === kind)).toHaveLength(1);
    }
  });
}

const OTHERS: readonly [string, Partial<KillAsk>][] = [
  ['issuer', { issuer: 'other' }],
  ['subject', { issuer: 'ci', subject: 'repo:acme/other' }],
  ['grant', { grant: 'other' }],
  ['target', { target: 'cache' }],
  ['task', { task: '0'.repeat(26) }],
  ['member of several', { ...identity, grant: 'other' }],
];

for (const [what, match] of OTHERS) {
  test(`kill: another ${what} touches nothing`, async () => {
    const { leaseId, taskId } = await stage.open(hallpass);
    const { kill } = value(await hallpass.verbs.kill(OPERATOR, killing(match)));
    expect(kill).toMatchObject({ leases: 0, tasks: 0 });
    await hallpass.reap();
    expect((await stage.lease(leaseId)).state).toBe('active');
    expect(value(await hallpass.verbs.readTask(OPERATOR, taskId)).task.endReason).toBe(null);
    await stage.open(hallpass);
  });
}

test.each([
  ['him', { issuer: 'agents', subject: 'agent' }],
  ['all of his issuer', { issuer: 'agents' }],
  ['him and the grant', { issuer: 'agents', subject: 'agent', grant: 'report' }],
])(
  'kill: of somebody who acts for others, by %s, ends what he holds for them, and keeps him out alone',
  async (_, match) => {
    const own = { issuer: 'ci', claims: { repository_id: '42' } };
    const acted = { ...own, actor: { issuer: 'agents', claims: { sub: 'agent' } } };
    const agents = { issuer: 'agents', attest: async () => null };
    const grants = { report: { ...(REPORT_GRANT as object), who: [own, acted] } };
    const broker = await stage.start({ grants, attestors: [agents] });
    if (WORKLOAD.kind !== 'principal') throw new Error('a principal');
    const actor = { issuer: 'agents', subject: 'agent', claims: { sub: 'agent' }, proof: null };
    const agent = { ...WORKLOAD, principal: { ...WORKLOAD.principal, actors: [actor] } };
    const { task, credentials, token } = value(await broker.verbs.openTask(agent, asking()));
    const holder = value(await broker.verbs.identify({ kind: 'bearer', token: token ?? '' }, 'test'));
    const alone = value(await broker.verbs.openTask(WORKLOAD, asking()));

    const { kill, rest } = value(await broker.verbs.kill(OPERATOR, killing(match)));
    expect(kill).toMatchObject({ leases: 1, tasks: 1 });
    expect(rest).toMatchObject([{ target: 'warehouse', left: 1 }]);
    await broker.reap();
    expect(await stage.lease(credentials[0]!.lease.id)).toMatchObject({
      outcome: 'revoked',
      endReason: 'killed',
    });
    expect(value(await broker.verbs.readKill(OPERATOR, kill.id)).rest).toEqual([]);
    const ask = { credentials: ['db'], ttlSeconds: null };
    // As he was when he showed his token: the task was open then.
    expect(reason(await broker.verbs.addCredentials(holder, task.id, ask))).toBe('not-allowed');
    expect(reason(await broker.verbs.openTask(agent, asking()))).toBe('not-allowed');
    expect((await stage.lease(alone.credentials[0]!.lease.id)).state).toBe('active');
    value(await broker.verbs.openTask(WORKLOAD, asking()));
    value(await broker.verbs.liftBlock(OPERATOR, kill.id, 'it was found again'));
    value(await broker.verbs.openTask(agent, asking()));
  },
);

test('kill: by task ends all of the task and leaves the others of its identity', async () => {
  const mine = await stage.open(hallpass);
  const other = await stage.open(hallpass);
  value(await hallpass.verbs.kill(OPERATOR, killing({ task: mine.taskId })));
  await hallpass.reap();
  expect((await stage.lease(mine.leaseId)).endReason).toBe('killed');
  expect((await stage.lease(other.leaseId)).state).toBe('active');
  const ask = { credentials: ['db'], ttlSeconds: null };
  expect(reason(await hallpass.verbs.addCredentials(mine.holder, mine.taskId, ask))).not.toBe('');
  value(await hallpass.verbs.addCredentials(other.holder, other.taskId, ask));
});

test('kill: between mark and end, nothing keeps the killed alive', async () => {
  const grants = {
    report: { ...(REPORT_GRANT as object), heartbeat: '1m' },
  };
  const beating = await stage.start({ grants });
  const { holder, taskId, leaseId } = await stage.open(beating);
  const { kill } = value(await beating.verbs.kill(OPERATOR, killing(identity)));
  // Lifted at once: what was killed stays so.
  value(await beating.verbs.liftBlock(OPERATOR, kill.id, 'a mistake'));
  expect((await stage.lease(leaseId)).state).toBe('active');
  expect(reason(await beating.verbs.heartbeat(holder, taskId))).toBe('task-ended');
  expect(reason(await beating.verbs.renewLease(holder, leaseId, null))).toBe('task-ended');
  const ask = { credentials: ['db'], ttlSeconds: null };
  // The holder's own view of his task is older than the kill.
  expect(reason(await beating.verbs.addCredentials(holder, taskId, ask))).toBe('in-progress');
  await beating.reap();
  expect((await stage.lease(leaseId)).endReason).toBe('killed');
});

test('kill: what was killed has ended at once for a replica whose clock is behind, too', async () => {
  const grants = { report: { ...(REPORT_GRANT as object), heartbeat: '1m' } };
  const runtime = { ...stage.runtime, now: () => stage.runtime.now() - 3_000 };
  const behind = await stage.start({ grants, runtime });
  const { opened, holder, taskId } = await stage.open(behind);
  const { kill } = value(await hallpass.verbs.kill(OPERATOR, killing(identity)));
  value(await hallpass.verbs.liftBlock(OPERATOR, kill.id, 'a mistake'));
  expect(reason(await behind.verbs.heartbeat(holder, taskId))).toBe('task-ended');
  expect(value(await behind.verbs.introspect(OPERATOR, opened.token ?? ''))).toBeNull();
  await hallpass.reap();
});

test('kill: a lease killed by its target is not renewed, nor its deadline moved', async () => {
  const grants = {
    report: { ...(REPORT_GRANT as object), heartbeat: '1m' },
  };
  const beating = await stage.start({ grants });
  const { holder, taskId, leaseId } = await stage.open(beating);
  const { kill } = value(await beating.verbs.kill(OPERATOR, killing({ target: 'warehouse' })));
  value(await beating.verbs.liftBlock(OPERATOR, kill.id, 'a mistake'));
  value(await beating.verbs.heartbeat(holder, taskId));
  expect(reason(await beating.verbs.renewLease(holder, leaseId, null))).toBe('lease-ended');
  await beating.reap();
  expect(await stage.lease(leaseId)).toMatchObject({ state: 'ended', endReason: 'killed' });
});

test('kill: completing or revoking what is killed ends it, and the reason stays', async () => {
  const mine = await stage.open(hallpass);
  const other = await stage.open(hallpass);
  value(await hallpass.verbs.kill(OPERATOR, killing({ all: true })));
  const { task } = value(await hallpass.verbs.completeTask(mine.holder, mine.taskId, 0));
  expect(task.endReason).toBe('killed');
  expect(value(await hallpass.verbs.revokeLease(other.holder, other.leaseId, 'done')).endReason).toBe(
    'killed',
  );
  await hallpass.reap();
});

test('kill: a mint under way is not handed out, and what it made is ended', async () => {
  let begun = () => {};
  let finish = () => {};
  const minting = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const go = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const live = hallpass.broker.targets.get('warehouse')!;
  const mint = live.target.mint.bind(live.target);
  Object.assign(live.target, {
    mint: async (...args: Parameters<typeof mint>) => {
      begun();
      await go;
      return mint(...args);
    },
  });
  const opening = hallpass.verbs.openTask(WORKLOAD, asking());
  await minting;
  value(await hallpass.verbs.kill(OPERATOR, killing(identity)));
  finish();
  expect(reason(await opening)).toBe('task-ended');
  await hallpass.reap();
  await stage.runtime.advance(60_000);
  await hallpass.reap();
  expect(stage.warehouse.minted).toHaveLength(1);
  expect(stage.warehouse.live.size).toBe(0);
});

test('kill: a mint under way is not said to have made nothing while it still may', async () => {
  let release = () => {};
  stage.warehouse.fault = (call, phase) =>
    call === 'mint' && phase === 'before'
      ? new Promise<void>((resolve) => {
          release = resolve;
        })
      : undefined;
  const opening = hallpass.verbs.openTask(WORKLOAD, asking());
  await until(() => hallpass.broker.targets.get('warehouse')!.minting.room(0) < 16);
  value(await hallpass.verbs.kill(OPERATOR, killing(identity)));
  await hallpass.reap();
  const ended = async () =>
    (await hallpass.events()).flatMap((e) => (e.kind === 'lease.ended' ? [e.data.outcome] : []));
  expect(await ended()).toEqual([]);
  release();
  expect(reason(await opening)).toBe('task-ended');
  stage.runtime.jump(20_000);
  await hallpass.reap();
  expect(stage.warehouse.live.size).toBe(0);
  expect(await ended()).toEqual(['revoked']);
});

test('kill: from its order on, before anything is marked, nothing that it matches is kept alive, begun or handed out', async () => {
  const grants = { report: { ...(REPORT_GRANT as object), heartbeat: '1m' } };
  const beating = await stage.start({ grants });
  const mine = await stage.open(beating);
  const other = await stage.open(beating);
  const made = value(await hallpass.verbs.kill(OPERATOR, killing({ grant: 'nothing' }))).kill;
  let ordered = 0;
  const order = (match: Partial<KillAsk>) => {
    const id = `${ordered++}`.padStart(26, '0');
    const row = { ...made, grant: null, ...match, id, markedAt: null };
    const data = { id, reason: 'x', match: {} };
    const event = { kind: 'kill.ordered', actor: { kind: 'system' }, about: {}, data } as const;
    return orderKill(stage.database, stage.runtime, row, [], event);
  };
  const blocked = { ok: false, error: { detail: expect.stringMatching(/^block:/) } };
  const more = { credentials: ['db'], ttlSeconds: null };
  const { heartbeat, renewLease, addCredentials, openTask } = beating.verbs;

  await order({ task: mine.taskId });
  expect(await heartbeat(mine.holder, mine.taskId)).toMatchObject(blocked);
  expect(await renewLease(mine.holder, mine.leaseId, 1800)).toMatchObject(blocked);
  expect(await addCredentials(mine.holder, mine.taskId, more)).toMatchObject(blocked);
  value(await renewLease(other.holder, other.leaseId, 1800));

  const before = stage.warehouse.minted.length;
  stage.warehouse.fault = async (call, phase) => {
    if (call === 'mint' && phase === 'after') await order({ issuer: 'ci' });
  };
  expect(reason(await openTask(WORKLOAD, asking()))).toBe('task-ended');
  stage.warehouse.fault = () => {};
  expect(stage.warehouse.minted).toHaveLength(before + 1);
  await beating.reap();
  await stage.runtime.advance(60_000);
  await beating.reap();
  expect(stage.warehouse.live.size).toBe(0);
});

test('kill: refuses what names nothing, names a subject alone, or comes from no operator', async () => {
  const { leaseId } = await stage.open(hallpass);
  expect(reason(await hallpass.verbs.kill(OPERATOR, killing()))).toBe('invalid-request');
  expect(reason(await hallpass.verbs.kill(OPERATOR, killing({ subject: 'x' })))).toBe('invalid-request');
  expect(reason(await hallpass.verbs.kill(OPERATOR, killing({ all: true, grant: 'x' })))).toBe(
    'invalid-request',
  );
  for (const caller of [WORKLOAD, callerOf({}, ['auditor', 'orchestrator'])]) {
    expect(reason(await hallpass.verbs.kill(caller, killing({ all: true })))).toBe('not-allowed');
    expect(reason(await hallpass.verbs.liftBlock(caller, '0'.repeat(26), 'x'))).toBe('not-allowed');
  }
  expect(reason(await hallpass.verbs.readKill(WORKLOAD, '0'.repeat(26)))).toBe('not-allowed');
  expect((await stage.lease(leaseId)).endReason).toBe(null);
});

test('kill: one that was ordered and not carried out is carried out by the next to look', async () => {
  const { leaseId } = await stage.open(hallpass);
  const { kill } = value(await hallpass.verbs.kill(OPERATOR, killing({ grant: 'nothing' })));
  const id = '0'.repeat(26);
  const { database, runtime } = stage;
  const row = { ...kill, id, grant: null, markedAt: null };
  const event = {
    kind: 'kill.ordered',
    actor: { kind: 'system' },
    about: {},
    data: { id, reason: 'x', match: {} },
  };
  await orderKill(database, runtime, row, [], event as Parameters<typeof orderKill>[4]);
  expect(reason(await hallpass.verbs.liftBlock(OPERATOR, id, 'too early'))).toBe('in-progress');
  expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('not-allowed');
  const next = await stage.start();
  await next.reap();
  expect((await stage.lease(leaseId)).endReason).toBe('killed');
  expect(value(await next.verbs.readKill(OPERATOR, id)).kill).toMatchObject({ leases: 1, tasks: 1 });
});

test('kill: one with a time keeps out until then, and is lifted by the broker', async () => {
  const { kill } = value(await hallpass.verbs.kill(OPERATOR, killing({ grant: 'report', blockSeconds: 45 })));
  const other = value(await hallpass.verbs.kill(OPERATOR, killing({ grant: 'nothing' }))).kill;
  await stage.runtime.advance(29_000);
  await hallpass.reap();
  expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('not-allowed');
  await stage.runtime.advance(31_000);
  await hallpass.reap();
  value(await hallpass.verbs.openTask(WORKLOAD, asking()));
  const lifted = (await hallpass.events()).filter((event) => event.kind === 'block.lifted');
  expect(lifted).toMatchObject([{ actor: { kind: 'system' }, data: { id: kill.id } }]);
  expect(value(await hallpass.verbs.listBlocks(OPERATOR)).map(({ id }) => id)).toEqual([other.id]);
});

test('kill: its evidence is used up by the order, and by no order that was refused', async () => {
  if (OPERATOR.kind !== 'principal') throw new Error('a principal');
  const { principal } = OPERATOR;
  const singleUse = { id: 'once', until: stage.runtime.now() + 60_000 };
  const once: Caller = {
    ...OPERATOR,
    principal: { ...principal, proof: { ...principal.proof, singleUse } },
  };
  const used = () => stage.database.query({ name: 'used', text: 'select id from used_evidence' }, []);
  await stage.database.script(
    "update gate set blocks = (select jsonb_agg('{}'::jsonb) from generate_series(1, 1000))",
  );
  expect(reason(await hallpass.verbs.kill(once, killing({ grant: 'x' })))).toBe('limit-reached');
  expect(await used()).toEqual([]);
  await stage.database.script("update gate set blocks = '[]'");
  const answers = await Promise.all([1, 2].map(() => hallpass.verbs.kill(once, killing({ grant: 'x' }))));
  expect(answers.filter(({ ok }) => ok)).toHaveLength(1);
  expect(reason(await hallpass.verbs.kill(once, killing({ grant: 'x' })))).toBe('unauthenticated');
  expect(value(await hallpass.verbs.listBlocks(OPERATOR))).toHaveLength(1);
});

test('liftBlock: its evidence lifts one block, and no other', async () => {
  if (OPERATOR.kind !== 'principal') throw new Error('a principal');
  const { principal } = OPERATOR;
  const singleUse = { id: 'once', until: stage.runtime.now() + 60_000 };
  const once: Caller = {
    ...OPERATOR,
    principal: { ...principal, proof: { ...principal.proof, singleUse } },
  };
  const kills = [];
  for (const grant of ['x', 'y'])
    kills.push(value(await hallpass.verbs.kill(OPERATOR, killing({ grant }))).kill.id);
  value(await hallpass.verbs.liftBlock(once, kills[0]!, 'a mistake'));
  expect(reason(await hallpass.verbs.liftBlock(once, kills[1]!, 'a mistake'))).toBe('unauthenticated');
  expect(value(await hallpass.verbs.listBlocks(OPERATOR)).map(({ id }) => id)).toEqual([kills[1]]);
});

test('kill: an intent that is being written while the kill is ordered does not survive it', async (ctx) => {
  const { database } = stage;
  if (database.kind === 'pglite')
    return ctx.skip('needs PostgreSQL 18 (Debian postgresql-18): PGlite writes one thing at a time');
  const limited = await stage.start({
    grants: { report: { ...(REPORT_GRANT as object), limits: { live_leases: 100 } } },
  });
  // Holds the statement of the intent between what it has seen and its commit, until it is let go.
  const held = database.script(`
    do $$ begin
      perform 1 from quota for update;
      while not exists (select from used_evidence where id = 'let go') loop perform pg_sleep(0.01); end loop;
    end $$`);
  await waitFor("select 1 from pg_stat_activity where wait_event = 'PgSleep'");
  const opening = limited.verbs.openTask(WORKLOAD, asking());
  await waitFor("select 1 from pg_stat_activity where wait_event_type = 'Lock'");
  const ordering = hallpass.verbs.kill(OPERATOR, killing(identity));
  await waitFor("select 1 from pg_stat_activity where wait_event_type = 'Lock' offset 1");
  await database.script("insert into used_evidence select 'let go', 'x', now()");
  const { kill } = value(await ordering);
  // Lifted, the block no longer keeps out what the kill did not see.
  value(await hallpass.verbs.liftBlock(OPERATOR, kill.id, 'at once'));
  await held;
  await opening;
  await hallpass.reap();
  await stage.runtime.advance(60_000);
  await hallpass.reap();
  expect(stage.warehouse.live.size).toBe(0);
});

async function waitFor(text: string): Promise<void> {
  while ((await stage.database.query({ name: `test_${text.length}`, text }, [])).length === 0);
}

test('kill: whatever it races with, nothing that matches survives it', async () => {
  const brokers = [hallpass, await stage.start(), await stage.start()];
  for (let round = 0; round < 12; round++) {
    const opens = brokers.flatMap(({ verbs }) =>
      Array.from({ length: 4 }, () => verbs.openTask(WORKLOAD, asking()).catch(() => null)),
    );
    await new Promise((resolve) => setImmediate(resolve));
    const killed = hallpass.verbs.kill(OPERATOR, killing({ ...identity }));
    // A commit that meets the kill's own head-on is sent again after a moment.
    await drive(stage.runtime, Promise.all([...opens, killed]));
    const { kill } = value(await killed);
    const rows = await stage.database.query<{ n: number }>(
      {
        name: 'test_survivors',
        text: "select count(*)::int as n from lease where end_reason is null and state <> 'ended'",
      },
      [],
    );
    expect(rows[0]?.n).toBe(0);
    value(await hallpass.verbs.liftBlock(OPERATOR, kill.id, 'next round'));
  }
  await hallpass.reap();
  await stage.runtime.advance(60_000);
  await hallpass.reap();
  expect(stage.warehouse.live.size).toBe(0);
});
