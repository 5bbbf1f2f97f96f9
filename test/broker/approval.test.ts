import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MAX_WAITING } from '../../src/broker/approval.ts';
import type { Caller, OpenTask, RequestView } from '../../src/broker/verbs.ts';
import type { Json } from '../../src/json.ts';
import {
  asking,
  callerOf,
  onceOnly,
  REPORT_GRANT,
  reason,
  type TestBroker,
  value,
} from '../support/broker.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let stage: Stage;
let hallpass: TestBroker;

const REPOSITORY = { repository_id: '42' };
const role = (team: string) => ({ issuer: 'ci', claims: { team } });
const grantOf = (approval: Json, over: object = {}) => ({
  report: { ...(REPORT_GRANT as object), approval, ...over } as Json,
});
const TWO_STAGES = {
  stages: [{ from: [role('dba')] }, { from: [role('lead')], approvals: 2 }],
  lapse: '30m',
};
const ONE = { stages: [{ from: [role('dba')] }] };
const who = (matcher: object) => matcher as never;

/** Somebody of his own subject. */
function person(subject: string, claims: Readonly<Record<string, Json>>): Caller {
  const caller = callerOf(claims);
  if (caller.kind !== 'principal') throw new Error('a principal');
  return { ...caller, principal: { ...caller.principal, subject } };
}

const asker = person('asker', REPOSITORY);
const dba = person('dba', { team: 'dba' });
const ASK = asking({ purpose: 'an incident' });

beforeEach(async () => {
  stage = await createStage(store);
  hallpass = await stage.start({ grants: grantOf(ONE) });
});
afterEach(async () => {
  await stage.check();
  await stage.close();
});
afterAll(() => store.stop());

async function request(over: Partial<OpenTask> = {}, by = asker, broker = hallpass): Promise<RequestView> {
  const answer = await broker.verbs.openTask(by, { ...ASK, ...over });
  if (answer.ok || answer.error.reason !== 'awaiting-approval') throw new Error(JSON.stringify(answer));
  return answer.error.view;
}

function approve(view: RequestView, by: Caller, ttlSeconds: number | null = null, broker = hallpass) {
  const { id, digest } = view.request;
  return broker.verbs.approveRequest(by, id, { digest, ttlSeconds });
}

const redeem = (view: RequestView, over: Partial<OpenTask> = {}, by = asker, broker = hallpass) =>
  broker.verbs.openTask(by, { ...ASK, ...over, request: view.request.id });

test('approval: nothing is minted before it is given, and then once', async () => {
  const view = await request();
  expect((await request()).request.id).toBe(view.request.id);
  expect(reason(await redeem(view))).toBe('awaiting-approval');
  expect(stage.warehouse.minted).toHaveLength(0);
  expect(value(await approve(view, dba)).request.state).toBe('approved');
  const opened = value(await redeem(view));
  expect(reason(await redeem(view))).toBe('not-allowed');
  expect(stage.warehouse.minted).toHaveLength(1);
  const after = value(await hallpass.verbs.readRequest(asker, view.request.id));
  expect(after.request).toMatchObject({ state: 'redeemed', taskId: opened.task.id });
  const events = (await hallpass.events()).filter(({ kind }) => kind.startsWith('request.'));
  expect(events.map(({ kind }) => kind)).toEqual([
    'request.created',
    'request.approved',
    'request.redeemed',
    'request.refused',
  ]);
  // Whose approval it rests on stands in the story of the task itself.
  const [, approved, redeemed] = events;
  expect(redeemed).toMatchObject({
    about: { task: opened.task.id },
    data: { approvals: [{ issuer: 'ci', subject: 'dba', at: approved?.at }] },
  });
});

test('approval: asking again in the same words redeems what was approved, for clients that can name no request', async () => {
  const view = await request();
  value(await approve(view, dba));
  const opened = value(await hallpass.verbs.openTask(asker, ASK));
  const after = value(await hallpass.verbs.readRequest(asker, view.request.id));
  expect(after.request).toMatchObject({ state: 'redeemed', taskId: opened.task.id });
  expect((await request()).request.id).not.toBe(view.request.id);
});

test('approval: whoever acts for another approves neither his request nor through him', async () => {
  const delegated = (subject: string, claims: Readonly<Record<string, Json>>, actor: Caller): Caller => {
    const caller = person(subject, claims);
    if (caller.kind !== 'principal' || actor.kind !== 'principal') throw new Error('a principal');
    return { ...caller, principal: { ...caller.principal, actors: [actor.principal] } };
  };
  const view = await request();
  expect(reason(await approve(view, delegated('boss', { team: 'dba' }, dba)))).toBe('not-allowed');
  value(await approve(view, dba));
});

test('approval: redeeming at once at two brokers opens one task', async () => {
  const other = await stage.start({ grants: grantOf(ONE) });
  const view = await request();
  value(await approve(view, dba));
  const answers = await Promise.all([redeem(view), redeem(view, {}, asker, other), redeem(view)]);
  expect(answers.filter(({ ok }) => ok)).toHaveLength(1);
  expect(stage.warehouse.minted).toHaveLength(1);
});

test('approval: stages follow one another, each with as many as it takes', async () => {
  const broker = await stage.start({ grants: grantOf(TWO_STAGES) });
  const view = await request({}, asker, broker);
  const leads = ['a', 'b'].map((name) => person(name, { team: 'lead' }));
  expect(reason(await approve(view, leads[0]!, null, broker))).toBe('not-allowed');
  value(await approve(view, dba, null, broker));
  expect(value(await approve(view, leads[0]!, null, broker)).waitingStage).toBe(1);
  expect(reason(await approve(view, leads[0]!, null, broker))).toBe('not-allowed');
  expect(reason(await redeem(view, {}, asker, broker))).toBe('awaiting-approval');
  value(await approve(view, leads[1]!, null, broker));
  value(await redeem(view, {}, asker, broker));
});

test('approval: one identity has a bounded number of requests that wait, and others have room all the same', async () => {
  const views: RequestView[] = [];
  for (let i = 0; i < MAX_WAITING; i++) views.push(await request({ purpose: `wish ${i}` }));
  const more = () => hallpass.verbs.openTask(asker, { ...ASK, purpose: 'one more' });
  expect(reason(await more())).toBe('limit-reached');
  expect((await request({ purpose: 'wish 0' })).request.id).toBe(views[0]!.request.id);
  await request({}, person('another', REPOSITORY));
  value(await hallpass.verbs.cancelRequest(asker, views[1]!.request.id, 'no longer needed'));
  expect(reason(await more())).toBe('awaiting-approval');
  expect(reason(await hallpass.verbs.openTask(asker, { ...ASK, purpose: 'yet another' }))).toBe(
    'limit-reached',
  );
  await stage.runtime.advance(3_600_000);
  await request({ purpose: 'after they lapsed' });
});

describe('approval: who does not count', () => {
  const people = [
    { name: 'Ada', who: [who({ issuer: 'ci', claims: [claim('person', 'ada')] })] },
    { name: 'Bob', who: [who({ issuer: 'ci', claims: [claim('person', 'bob')] })] },
  ];
  function claim(name: string, accepted: string) {
    return { name, path: [name], accepts: [{ text: accepted, matches: (at: unknown) => at === accepted }] };
  }

  test('approval: nobody approves for himself, by the same or by a linked identity, or through a job he triggered', async () => {
    const broker = await stage.start({ grants: grantOf(ONE), people });
    const job = person('job', { ...REPOSITORY, person: 'ada', team: 'dba' });
    const view = await request({}, job, broker);
    expect(view.onBehalfOf).toEqual(['Ada']);
    for (const by of [job, person('ada at work', { team: 'dba', person: 'ada' })])
      expect(reason(await approve(view, by, null, broker))).toBe('not-allowed');
    value(await approve(view, person('bob', { team: 'dba', person: 'bob' }), null, broker));
  });

  test('approval: nobody opens what he approved, by a job that another had asked for and he triggers again', async () => {
    const broker = await stage.start({ grants: grantOf(ONE), people });
    const jobOf = (human: string) => person('job', { ...REPOSITORY, person: human });
    const view = await request({}, jobOf('ada'), broker);
    value(await approve(view, person('bob', { team: 'dba', person: 'bob' }), null, broker));
    for (const other of [jobOf('bob'), person('job', REPOSITORY)]) {
      expect(reason(await redeem(view, {}, other, broker))).toBe('not-allowed');
      expect((await request({}, other, broker)).request.id).not.toBe(view.request.id);
    }
    expect(stage.warehouse.minted).toHaveLength(0);
    value(await redeem(view, {}, jobOf('ada'), broker));
  });

  test('approval: one human with two identities counts once', async () => {
    const two = grantOf({ stages: [{ from: [role('dba')], approvals: 2 }] });
    const broker = await stage.start({ grants: two, people });
    const view = await request({}, asker, broker);
    value(await approve(view, person('bob', { team: 'dba', person: 'bob' }), null, broker));
    const again = person('bob at home', { team: 'dba', person: 'bob' });
    expect(reason(await approve(view, again, null, broker))).toBe('not-allowed');
    expect(reason(await redeem(view, {}, asker, broker))).toBe('awaiting-approval');
  });

  test('approval: strangers neither see nor decide, and cannot tell that it is there', async () => {
    const view = await request();
    const { id, digest } = view.request;
    const stranger = person('stranger', { team: 'sales' });
    const answers = [
      await hallpass.verbs.readRequest(stranger, id),
      await hallpass.verbs.readRequest(stranger, '0'.repeat(26)),
      await hallpass.verbs.approveRequest(stranger, id, { digest, ttlSeconds: null }),
      await hallpass.verbs.denyRequest(stranger, id, 'x'),
      await hallpass.verbs.cancelRequest(stranger, id, 'x'),
    ];
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(value(await hallpass.verbs.listRequests(stranger))).toEqual([]);
    expect(value(await hallpass.verbs.listRequests(dba))).toHaveLength(1);
  });
});

test('approval: what is opened must be what was approved, by whoever asked', async () => {
  const view = await request();
  value(await approve(view, dba));
  for (const edit of [
    { parameters: { region: 'us' } },
    { purpose: 'another' },
    { ttlSeconds: 60 },
    { task: 'report-1' },
  ])
    expect(reason(await redeem(view, edit))).toBe('not-allowed');
  expect(reason(await redeem(view, {}, person('other', REPOSITORY)))).toBe('not-allowed');
  expect(stage.warehouse.minted).toHaveLength(0);
  value(await redeem(view));
});

test('approval: an approval of something else is not an approval', async () => {
  const view = await request();
  const forged = { ...view, request: { ...view.request, digest: 'another' } };
  expect(reason(await approve(forged, dba))).toBe('not-allowed');
  expect(reason(await redeem(view))).toBe('awaiting-approval');
});

test('approval: an edit of the grant, and an approver who may no longer approve, void it', async () => {
  const view = await request();
  value(await approve(view, dba));
  const edited = await stage.start({ grants: grantOf(ONE, { tasks: ['nightly', 'more'] }) });
  expect(reason(await redeem(view, {}, asker, edited))).toBe('not-allowed');
  const others = await stage.start({ grants: grantOf({ stages: [{ from: [role('security')] }] }) });
  expect(reason(await redeem(view, {}, asker, others))).toBe('not-allowed');
  const gone = await stage.start({ grants: {} });
  expect(reason(await redeem(view, {}, asker, gone))).toBe('not-allowed');
  expect(stage.warehouse.minted).toHaveLength(0);
});

test('approval: of what was asked through somebody is for him to redeem, not for the asker alone or through another', async () => {
  const through = { issuer: 'ci', claims: REPOSITORY, actor: { issuer: 'ci', claims: { team: 'agents' } } };
  const both = [{ issuer: 'ci', claims: REPOSITORY }, through] as unknown as Json;
  const broker = await stage.start({ grants: grantOf(ONE, { who: both }) });
  const via = (actor: string): Caller => {
    const agent = person(actor, { team: 'agents' });
    if (asker.kind !== 'principal' || agent.kind !== 'principal') throw new Error('a principal');
    return { ...asker, principal: { ...asker.principal, actors: [agent.principal] } };
  };
  const view = await request({}, via('one'), broker);
  value(await approve(view, dba, null, broker));
  for (const by of [asker, via('two')]) {
    expect(reason(await redeem(view, {}, by, broker))).toBe('not-allowed');
    expect(reason(await broker.verbs.openTask(by, ASK))).toBe('awaiting-approval');
  }
  value(await redeem(view, {}, via('one'), broker));
});

test('approval: is for the task grant that it was asked with, and for the task grant alone', async () => {
  const grants = grantOf(ONE, { task_grants: { max_age: '1h', max_uses: 5 } });
  const broker = await stage.start({ grants });
  const cut = { task: ASK.task, parameters: {}, credentials: null, maxTtlSeconds: null, subject: null };
  const orchestrator = callerOf({}, ['orchestrator']);
  const [one, two] = await Promise.all(
    [1, 2].map(async () => {
      const wish = { ...cut, grant: 'report', expiresInSeconds: 600, uses: 5 };
      return value(await broker.verbs.createTaskGrant(orchestrator, wish)).id;
    }),
  );
  const view = await request({ taskGrant: one! }, asker, broker);
  value(await approve(view, dba, null, broker));
  for (const taskGrant of [null, two!])
    expect(reason(await broker.verbs.openTask(asker, { ...ASK, taskGrant }))).toBe('awaiting-approval');
  expect(stage.warehouse.minted).toHaveLength(0);
  value(await broker.verbs.openTask(asker, { ...ASK, taskGrant: one! }));
});

test('approval: of what was given nothing is renewed once the grant is another', async () => {
  const view = await request();
  value(await approve(view, dba));
  const { token, credentials } = value(await redeem(view));
  const holder = value(await hallpass.verbs.identify({ kind: 'bearer', token: token ?? '' }, 'test'));
  const leaseId = credentials[0]!.lease.id;
  const edited = await stage.start({ grants: grantOf(ONE, { tasks: ['nightly', 'more'] }) });
  const answer = await edited.verbs.renewLease(holder, leaseId, 1800);
  expect(answer).toMatchObject({
    error: { reason: 'not-allowed', detail: expect.stringMatching(/^approval:/) },
  });
  value(await hallpass.verbs.renewLease(holder, leaseId, 1800));
});

test('approval: policy is asked again, and a proof that no longer fits opens nothing', async () => {
  const view = await request();
  value(await approve(view, dba));
  expect(reason(await redeem(view, {}, person('asker', { repository_id: '43' })))).toBe('not-allowed');
});

test('approval: one denial ends it, also after others approved; taking back is for whoever asked', async () => {
  const denied = await request();
  value(await approve(denied, dba));
  expect(reason(await hallpass.verbs.denyRequest(asker, denied.request.id, 'x'))).toBe('not-allowed');
  value(await hallpass.verbs.denyRequest(person('second', { team: 'dba' }), denied.request.id, 'no'));
  expect(reason(await redeem(denied))).toBe('not-allowed');
  const taken = await request();
  expect(taken.request.id).not.toBe(denied.request.id);
  expect(reason(await hallpass.verbs.cancelRequest(dba, taken.request.id, 'x'))).toBe('not-allowed');
  value(await hallpass.verbs.cancelRequest(asker, taken.request.id, 'no longer needed'));
  expect(reason(await approve(taken, dba))).toBe('not-allowed');
});

test('approval: what waits and what was approved lapses, and can be asked for anew', async () => {
  const waits = await request();
  const approved = await request({ purpose: 'another' });
  value(await approve(approved, dba));
  await stage.runtime.advance(3_600_000);
  expect(reason(await approve(waits, dba))).toBe('not-allowed');
  expect(reason(await redeem(approved, { purpose: 'another' }))).toBe('not-allowed');
  expect(value(await hallpass.verbs.readRequest(asker, waits.request.id)).request.state).toBe('expired');
  const anew = await request();
  expect(anew.request.id).not.toBe(waits.request.id);
  await hallpass.reap();
  const expired = (await hallpass.events()).filter(({ kind }) => kind === 'request.expired');
  expect(expired).toHaveLength(2);
});

test('approval: approvers may shorten, for renewals and added credentials too, and never widen', async () => {
  const short = await request();
  value(await approve(short, dba, 60));
  const opened = value(await redeem(short));
  const { lease } = opened.credentials[0]!;
  expect([lease.expiresAt, lease.capAt, opened.task.expiresAt]).toEqual(
    Array(3).fill(stage.runtime.now() + 60_000),
  );
  const holder = value(await hallpass.verbs.identify({ kind: 'bearer', token: opened.token ?? '' }, 'test'));
  expect(reason(await hallpass.verbs.renewLease(holder, lease.id, 3_600))).toBe('cannot-renew');
  const more = { credentials: ['db'], ttlSeconds: null };
  expect(reason(await hallpass.verbs.addCredentials(holder, opened.task.id, more))).toBe('not-allowed');
  const wide = await request({ ttlSeconds: 120 });
  value(await approve(wide, dba, 86_400));
  const wider = value(await redeem(wide, { ttlSeconds: 120 })).credentials[0]!.lease;
  expect(wider.expiresAt).toBe(stage.runtime.now() + 120_000);
});

test('approval: a ticket of the pattern is demanded, shown, logged, part of what is approved, and asked for at renewals', async () => {
  const grants = grantOf(ONE, { ticket_pattern: 'OPS-*', conditions: ['ticket != "OPS-0"'] });
  const broker = await stage.start({ grants });
  for (const ticket of [
    'SRE-1',
    'OPS-1\n',
    'OPS-1 OPS-2',
    'OPS-$(id)',
    'OPS-0',
    'OPS-<b>',
    '=OPS-1',
    undefined,
  ])
    expect(reason(await broker.verbs.openTask(asker, { ...ASK, ...(ticket && { ticket }) }))).toBe(
      'not-allowed',
    );
  const view = await request({ ticket: 'OPS-7' }, asker, broker);
  expect(view.request.ask.ticket).toBe('OPS-7');
  value(await approve(view, dba, null, broker));
  expect(reason(await redeem(view, { ticket: 'OPS-8' }, asker, broker))).toBe('not-allowed');
  const opened = value(await redeem(view, { ticket: 'OPS-7' }, asker, broker));
  expect(opened.task.ticket).toBe('OPS-7');
  const { lease } = opened.credentials[0]!;
  const holder = value(await broker.verbs.identify({ kind: 'bearer', token: opened.token ?? '' }, 'test'));
  value(await broker.verbs.renewLease(holder, lease.id, 3_600));
  const named = (await broker.events()).flatMap((event) =>
    event.kind === 'task.opened'
      ? [event.data.ticket]
      : event.kind === 'request.created'
        ? [(event.data.ask as { ticket?: string }).ticket]
        : [],
  );
  expect(named).toEqual(['OPS-7', 'OPS-7']);
});

describe('approval: a start that is fixed', () => {
  const HOUR = 3_600_000;
  const at = (ms: number) => stage.runtime.now() + ms;

  test('approval: opens from then to lapse, and not before, with a refusal that says when', async () => {
    const ask = { notBefore: at(5 * HOUR) };
    const view = await request(ask);
    await stage.runtime.advance(2 * HOUR);
    value(await approve(view, dba));
    const early = await redeem(view, ask);
    expect(early).toMatchObject({ error: { reason: 'too-early', retryAfterMs: 3 * HOUR } });
    expect(stage.warehouse.minted).toHaveLength(0);
    await stage.runtime.advance(3 * HOUR - 1);
    expect(reason(await hallpass.verbs.openTask(asker, { ...ASK, ...ask }))).toBe('too-early');
    await stage.runtime.advance(1);
    value(await redeem(view, ask));
    const late = { notBefore: at(HOUR) };
    const lapses = await request(late);
    value(await approve(lapses, dba));
    await stage.runtime.advance(2 * HOUR);
    expect(reason(await redeem(lapses, late))).toBe('not-allowed');
  });

  test('approval: is part of what is approved', async () => {
    const ask = { notBefore: at(HOUR) };
    const view = await request(ask);
    value(await approve(view, dba));
    for (const edit of [{}, { notBefore: at(0) }, { notBefore: at(HOUR) + 1 }])
      expect(reason(await redeem(view, edit))).toBe('not-allowed');
    expect((await request()).request.id).not.toBe(view.request.id);
  });

  test('approval: is bounded, and takes a grant that asks for approval', async () => {
    const open = await stage.start();
    const ask = { ...ASK, notBefore: at(HOUR) };
    expect(reason(await open.verbs.openTask(asker, ask))).toBe('invalid-request');
    const far = { ...ASK, notBefore: at(8 * 24 * HOUR) };
    expect(reason(await hallpass.verbs.openTask(asker, far))).toBe('invalid-request');
  });

  test('approval: what a condition approves for later is held to the condition as it is then', async () => {
    const rule = { ...ONE, auto_approve: ['claims.on_call == true'] };
    const broker = await stage.start({ grants: grantOf(rule) });
    const by = (on_call: boolean) => person('asker', { ...REPOSITORY, on_call });
    const ask = { ...ASK, notBefore: at(HOUR) };
    expect(reason(await broker.verbs.openTask(by(true), ask))).toBe('too-early');
    await stage.runtime.advance(HOUR);
    expect(reason(await broker.verbs.openTask(by(false), ask))).toBe('awaiting-approval');
    value(await broker.verbs.openTask(by(true), ask));
    const kinds = (await broker.events())
      .map(({ kind }) => kind)
      .filter((kind) => kind.startsWith('request.'));
    expect(kinds).toEqual([
      'request.created',
      'request.auto-approved',
      'request.refused',
      'request.auto-approved',
      'request.redeemed',
    ]);
  });
});

describe('approval: conditions', () => {
  const RULE = {
    stages: [
      { from: [role('dba')] },
      { from: [role('lead')], when: 'parameters.region == "us" && claims.risk < 5' },
    ],
    auto_approve: ['claims.on_call == true', 'task == "nightly" && claims.drill == "yes"'],
  };
  const onCall = person('asker', { ...REPOSITORY, on_call: true, risk: 1 });
  const kindsOf = async (broker: TestBroker) =>
    (await broker.events()).map(({ kind }) => kind).filter((kind) => /^(request|task)\./.test(kind));

  test('approval: one that holds approves in place of people, in an event of its own, in one commit with the opening', async () => {
    const broker = await stage.start({ grants: grantOf(RULE) });
    const opened = value(await broker.verbs.openTask(onCall, ASK));
    expect(await kindsOf(broker)).toEqual([
      'request.created',
      'request.auto-approved',
      'request.redeemed',
      'task.opened',
    ]);
    const event = (await broker.events()).find(({ kind }) => kind === 'request.auto-approved');
    expect(event).toMatchObject({
      actor: { kind: 'system' },
      data: { condition: 'claims.on_call == true', complete: true },
    });
    const { id } = event!.data as { id: string };
    const row = value(await broker.verbs.readRequest(onCall, id)).request;
    expect(row).toMatchObject({ state: 'redeemed', taskId: opened.task.id });
  });

  test.each([
    ['is false', { on_call: false }],
    ['fails on a claim that is not there', {}],
    ['fails on a claim of another type', { on_call: 'true' }],
  ])('approval: one that %s approves nothing', async (_, claims) => {
    const broker = await stage.start({ grants: grantOf(RULE) });
    const view = await request({}, person('asker', { ...REPOSITORY, ...claims }), broker);
    expect(view).toMatchObject({ automatic: null, stages: [1, 0], waitingStage: 0 });
    expect(stage.warehouse.minted).toHaveLength(0);
  });

  test.each([
    ['demands it', { risk: 1 }, [0, 1]],
    ['says that it is not needed', { risk: 9 }, [0, 0]],
    ['fails, and so demands it', {}, [0, 1]],
  ])('approval: a stage whose condition %s, beside one that approves', async (_, claims, stages) => {
    const broker = await stage.start({ grants: grantOf(RULE) });
    const by = person('asker', { ...REPOSITORY, on_call: true, ...claims });
    const ask = { parameters: { region: 'us' } };
    if (stages[1] === 0) {
      value(await broker.verbs.openTask(by, { ...ASK, ...ask }));
      return;
    }
    const view = await request(ask, by, broker);
    expect(view).toMatchObject({ automatic: 'claims.on_call == true', stages, waitingStage: 1 });
    expect(reason(await approve(view, dba, null, broker))).toBe('not-allowed');
    value(await approve(view, person('boss', { team: 'lead' }), null, broker));
    value(await redeem(view, ask, by, broker));
  });

  test('approval: what a condition approved does not count once it holds no more', async () => {
    const broker = await stage.start({ grants: grantOf(RULE) });
    const ask = { parameters: { region: 'us' } };
    const view = await request(ask, onCall, broker);
    value(await approve(view, person('boss', { team: 'lead' }), null, broker));
    const offCall = person('asker', { ...REPOSITORY, on_call: false, risk: 1 });
    expect(reason(await redeem(view, ask, offCall, broker))).toBe('awaiting-approval');
    expect(stage.warehouse.minted).toHaveLength(0);
  });

  test('approval: whoever waits for people goes on when a condition comes to hold, and the log says which', async () => {
    const broker = await stage.start({ grants: grantOf(RULE) });
    const view = await request({}, person('asker', { ...REPOSITORY, on_call: false }), broker);
    value(await redeem(view, {}, onCall, broker));
    expect(await kindsOf(broker)).toEqual([
      'request.created',
      'request.auto-approved',
      'request.redeemed',
      'task.opened',
    ]);
  });
});

test('approval: it takes a reason, and a grant without approval takes no request', async () => {
  expect(reason(await hallpass.verbs.openTask(asker, asking()))).toBe('not-allowed');
  const open = await stage.start();
  const view = await request();
  value(await approve(view, dba));
  expect(reason(await redeem(view, {}, asker, open))).toBe('not-allowed');
});

test('listRequests, readRequest: what others ask for is shown, and the log says to whom', async () => {
  const view = await request();
  const { verbs } = hallpass;
  const told = async () =>
    (await hallpass.events()).flatMap((event) =>
      event.kind === 'disclosed' ? [[event.actor, event.data.what, event.data.filter]] : [],
    );
  value(await verbs.readRequest(asker, view.request.id));
  value(await verbs.listRequests(asker));
  value(await verbs.listRequests(person('stranger', {})));
  expect(await told()).toEqual([]);
  value(await verbs.readRequest(dba, view.request.id));
  value(await verbs.listRequests(dba));
  const actor = { kind: 'principal', issuer: 'ci', subject: 'dba' };
  expect(await told()).toEqual([
    [actor, 'request', { id: view.request.id }],
    [actor, 'requests', { requests: 1 }],
  ]);
  const once = onceOnly(dba, 'read');
  value(await verbs.readRequest(once, view.request.id));
  expect(reason(await verbs.readRequest(once, view.request.id))).toBe('unauthenticated');
  expect(await told()).toHaveLength(3);
});

describe('approval: somebody whom a kill keeps out', () => {
  const BLOCKED = { ok: false, error: { detail: expect.stringMatching(/^block:/) } };
  const operator = callerOf({}, ['operator']);
  const killed = (subject: string) =>
    hallpass.verbs.kill(operator, {
      issuer: 'ci',
      subject,
      grant: null,
      target: null,
      task: null,
      all: false,
      reason: 'his token was stolen',
    });

  test('neither asks nor decides until the block is lifted', async () => {
    const view = await request();
    const { kill } = value(await killed('dba'));
    expect(await approve(view, dba)).toMatchObject(BLOCKED);
    expect(await hallpass.verbs.denyRequest(dba, view.request.id, 'no')).toMatchObject(BLOCKED);
    value(await killed('asker'));
    expect(await hallpass.verbs.openTask(asker, { ...ASK, task: 'report-2' })).toMatchObject(BLOCKED);
    value(await hallpass.verbs.liftBlock(operator, kill.id, 'it was found'));
    expect(value(await approve(view, dba)).request.state).toBe('approved');
  });

  test('what he approved before counts no longer', async () => {
    const view = await request();
    value(await approve(view, dba));
    value(await killed('dba'));
    expect(reason(await redeem(view))).toBe('awaiting-approval');
    expect(stage.warehouse.minted).toHaveLength(0);
    value(await approve(view, person('dba-2', { team: 'dba' })));
    value(await redeem(view));
  });
});
