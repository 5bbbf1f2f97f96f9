import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { eventSchema } from '../../src/audit/schema.ts';
import type { Caller, OpenTask } from '../../src/broker/verbs.ts';
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

const HOUR = 3_600_000;
const matcher = (sub: string) => ({ issuer: 'ci', claims: { sub } });
const team = (name: string) => ({ issuer: 'ci', claims: { team: name } });
const credentials = {
  db: {
    target: 'warehouse',
    ttl: { default: '15m', max: '1h' },
    scope: { role: 'reader_{{ parameters.region }}' },
  },
};
const GLASS = { review: { by: [team('lead')], due: '1h' } };
const glass = (over: object = {}): Json =>
  ({
    ...(REPORT_GRANT as object),
    who: ['ada', 'ada-home', 'bob'].map(matcher),
    credentials,
    break_glass: { ...GLASS, dangerously_without_approval: true },
    ...over,
  }) as Json;
const approved = glass({ break_glass: GLASS, approval: { stages: [{ from: [team('dba')] }] } });
const grants = { glass: glass(), other: glass(), approved };

const person = (sub: string, claims: object = {}, roles: ('operator' | 'auditor')[] = []): Caller => {
  const caller = callerOf({ sub, ...claims } as Record<string, Json>, roles);
  if (caller.kind !== 'principal') throw new Error('a principal');
  return { ...caller, principal: { ...caller.principal, subject: sub } };
};
const claim = (name: string, ...values: string[]) => ({
  name,
  path: [name],
  accepts: [{ text: values.join(), matches: (at: unknown) => values.includes(String(at)) }],
});
const people = [
  { name: 'Ada', who: [{ issuer: 'ci', claims: [claim('sub', 'ada', 'ada-home', 'ada-lead')] }] },
  { name: 'Bob', who: [{ issuer: 'ci', claims: [claim('sub', 'bob')] }] },
];
const ada = person('ada');
const home = person('ada-home');
const bob = person('bob');
const lead = person('lead', { team: 'lead' });
const dba = person('dba', { team: 'dba' });
const ASK = asking({ grant: 'glass', purpose: 'the orders are stuck' });

beforeEach(async () => {
  stage = await createStage(store);
  hallpass = await stage.start({ grants, people });
});
afterEach(async () => {
  for (const event of await hallpass.events()) expect(eventSchema.safeParse(event).error).toBeUndefined();
  await stage.check();
  await stage.close();
});
afterAll(() => store.stop());

const open = (by: Caller, over: Partial<OpenTask> = {}, broker = hallpass) =>
  broker.verbs.openTask(by, { ...ASK, ...over });
const use = async (by: Caller, over: Partial<OpenTask> = {}) => value(await open(by, over));
const events = async (kind: string) => (await hallpass.events()).filter((event) => event.kind === kind);
const reviews = async (by: Caller = lead) => value(await hallpass.verbs.listReviews(by));
const finish = async (taskId: string) =>
  value(await hallpass.verbs.completeTask(person('op', {}, ['operator']), taskId, null));

test('break-glass: a use is told in the commit that opens it, with who, what and why, and begins a review', async () => {
  const opened = await use(ada, { ticket: 'OPS-1' });
  const kinds = (await hallpass.events()).map(({ kind }) => kind);
  expect(kinds.slice(0, 3)).toEqual(['task.opened', 'breakglass.opened', 'lease.intended']);
  const [review] = await reviews();
  expect((await events('breakglass.opened'))[0]).toMatchObject({
    actor: { subject: 'ada' },
    about: { task: opened.task.id, grant: 'glass' },
    data: {
      practice: false,
      people: ['Ada'],
      purpose: 'the orders are stuck',
      ticket: 'OPS-1',
      credentials: [{ name: 'db', target: 'warehouse' }],
      request: null,
      review: review!.id,
    },
  });
  expect(review).toMatchObject({ state: 'open', people: ['Ada'], taskId: opened.task.id, practice: false });
  expect(review!.dueAt).toBe(opened.task.expiresAt + HOUR);
});

test('break-glass: an overdue review keeps the person out by all his identities, and nobody else, until somebody else closes it', async () => {
  const first = await use(ada);
  await use(ada);
  await stage.runtime.advance(2 * HOUR - 1);
  await hallpass.reap();
  const again = await use(home);
  await stage.runtime.advance(1);
  for (const by of [ada, home]) {
    expect(reason(await open(by))).toBe('review-overdue');
    expect(reason(await open(by, { grant: 'other' }))).toBe('review-overdue');
    expect(reason(await open(by, { grant: 'approved' }))).toBe('review-overdue');
  }
  await use(bob);
  expect(await events('request.created')).toEqual([]);
  for (const review of (await reviews()).filter(({ dueAt }) => dueAt <= stage.runtime.now())) {
    expect(reason(await open(ada))).toBe('review-overdue');
    value(await hallpass.verbs.closeReview(lead, review.id, 'as it should be'));
  }
  await use(ada);
  expect((await events('review.closed')).map(({ about }) => about.task)).toContain(first.task.id);
  expect(again.credentials).toHaveLength(1);
});

test('break-glass: that a review is overdue is told once, by whichever broker looks first', async () => {
  await use(ada);
  const other = await stage.start({ grants, people });
  await stage.runtime.advance(2 * HOUR);
  await Promise.all([hallpass.reap(), other.reap()]);
  await stage.runtime.advance(60_000);
  await hallpass.reap();
  const [review] = await reviews();
  expect(review!.state).toBe('due');
  expect((await events('review.due')).map(({ data }) => data)).toEqual([
    expect.objectContaining({ id: review!.id, people: ['Ada'], practice: false, subject: 'ada' }),
  ]);
});

test('closeReview: not by the person under any identity, not by others than the grant names, not through another, not before the end, and once', async () => {
  const opened = await use(ada);
  const { id } = (await reviews())[0]!;
  const close = (by: Caller) => hallpass.verbs.closeReview(by, id, 'seen');
  expect(reason(await close(lead))).toBe('not-allowed');
  await finish(opened.task.id);
  for (const by of [
    ada,
    home,
    person('ada-lead', { team: 'lead' }),
    person('op', {}, ['operator']),
    person('auditor', {}, ['auditor']),
  ])
    expect(reason(await close(by))).toBe('not-allowed');
  for (const by of [bob, dba]) expect(reason(await close(by))).toBe('not-found');
  if (lead.kind !== 'principal' || bob.kind !== 'principal') throw new Error('principals');
  const through = { ...lead, principal: { ...lead.principal, actors: [bob.principal] } };
  expect(reason(await close(through))).toMatch(/not-/);
  const answers = await Promise.all([close(lead), close(lead)]);
  expect(answers.filter(({ ok }) => ok)).toHaveLength(1);
  expect(reason(await close(lead))).toBe('not-allowed');
  expect(await reviews()).toEqual([]);
  expect(value(await hallpass.verbs.readReview(ada, id))).toMatchObject({
    state: 'closed',
    finding: 'seen',
    closedBy: { subject: 'lead' },
  });
  expect((await events('review.closed'))[0]).toMatchObject({
    actor: { subject: 'lead' },
    data: { id, finding: 'seen', practice: false },
  });
});

test('closeReview: where the grant is gone, operators close, so that nobody is kept out for ever', async () => {
  const opened = await use(ada);
  await finish(opened.task.id);
  const { id } = (await reviews())[0]!;
  const gone = await stage.start({ grants: { other: glass() }, people });
  const close = (by: Caller) => gone.verbs.closeReview(by, id, 'seen');
  expect(reason(await close(person('ada', {}, ['operator'])))).toBe('not-allowed');
  expect(reason(await close(lead))).toBe('not-found');
  value(await close(person('op', {}, ['operator'])));
});

test('break-glass: it takes a reason, a person whom the configuration knows, and nobody in between', async () => {
  expect(reason(await open(ada, { purpose: null }))).toBe('not-allowed');
  const strangers = await stage.start({ grants, people: people.slice(1) });
  expect(reason(await open(ada, {}, strangers))).toBe('not-allowed');
  expect(stage.warehouse.minted).toHaveLength(0);
});

test('break-glass: no credential is added to what is reviewed', async () => {
  const opened = await use(ada);
  const holder = value(await hallpass.verbs.identify({ kind: 'bearer', token: opened.token ?? '' }, 'test'));
  const more = { credentials: ['db'], ttlSeconds: null };
  expect(reason(await hallpass.verbs.addCredentials(holder, opened.task.id, more))).toBe('not-allowed');
});

test('break-glass: with approval it waits for it, and the use names the request', async () => {
  const ask = { grant: 'approved' };
  const waits = await open(ada, ask);
  if (waits.ok || waits.error.reason !== 'awaiting-approval') throw new Error('it should wait');
  expect(await events('breakglass.opened')).toEqual([]);
  expect(await reviews()).toEqual([]);
  const { id, digest } = waits.error.view.request;
  value(await hallpass.verbs.approveRequest(dba, id, { digest, ttlSeconds: null }));
  value(await open(ada, { ...ask, request: id }));
  expect((await events('breakglass.opened'))[0]!.data).toMatchObject({ request: id });
});

test('break-glass: a review that falls due after the approval keeps the person out all the same', async () => {
  await use(ada);
  await stage.runtime.advance(2 * HOUR - 60_000);
  const ask = { grant: 'approved' };
  const waits = await open(home, ask);
  if (waits.ok || waits.error.reason !== 'awaiting-approval') throw new Error('it should wait');
  const { id, digest } = waits.error.view.request;
  value(await hallpass.verbs.approveRequest(dba, id, { digest, ttlSeconds: null }));
  await stage.runtime.advance(60_000);
  expect(reason(await open(home, { ...ask, request: id }))).toBe('review-overdue');
  expect(stage.warehouse.minted).toHaveLength(1);
});

test('practice: the whole way with approval, event and review, all of it marked, and nothing is minted', async () => {
  const ask = { grant: 'approved', practice: true } as const;
  const waits = await open(ada, ask);
  if (waits.ok || waits.error.reason !== 'awaiting-approval') throw new Error('it should wait');
  const { id, digest } = waits.error.view.request;
  value(await hallpass.verbs.approveRequest(dba, id, { digest, ttlSeconds: null }));
  // What was approved for practice opens nothing real, and the other way round.
  expect(reason(await open(ada, { grant: 'approved', request: id }))).toBe('not-allowed');
  const opened = value(await open(ada, { ...ask, request: id }));
  expect(opened).toMatchObject({ task: { practice: true }, credentials: [] });
  const holder = value(await hallpass.verbs.identify({ kind: 'bearer', token: opened.token ?? '' }, 'test'));
  const more = { credentials: ['db'], ttlSeconds: null };
  const edited = await stage.start({
    grants: { approved: { ...(REPORT_GRANT as object), who: [matcher('ada')] } as Json },
  });
  for (const broker of [hallpass, edited])
    expect(reason(await broker.verbs.addCredentials(holder, opened.task.id, more))).toBe('not-allowed');
  await finish(opened.task.id);
  const [review] = await reviews();
  value(await hallpass.verbs.closeReview(lead, review!.id, 'well rehearsed'));
  expect(stage.warehouse.minted).toHaveLength(0);
  expect(stage.warehouse.calls.filter(({ call }) => call === 'mint')).toEqual([]);
  const story = (await hallpass.events()).filter(
    ({ kind, about }) =>
      /^(request\.(?!refused)|task|breakglass|review)/.test(kind) && about.grant === 'approved',
  );
  expect(story.map(({ kind }) => kind)).toEqual([
    'request.created',
    'request.approved',
    'request.redeemed',
    'task.opened',
    'breakglass.opened',
    'task.ended',
    'review.closed',
  ]);
  expect(story.every(({ about }) => about.practice === true)).toBe(true);
});

test('practice: an overdue review of it keeps nobody from real use, nor one of real use from practice', async () => {
  await use(ada, { practice: true });
  await stage.runtime.advance(2 * HOUR);
  await hallpass.reap();
  expect((await events('review.due'))[0]).toMatchObject({
    about: { practice: true },
    data: { practice: true },
  });
  expect(reason(await open(ada, { practice: true }))).toBe('review-overdue');
  await use(ada);
  value(await hallpass.verbs.closeReview(lead, (await reviews())[0]!.id, 'late'));
  await stage.runtime.advance(2 * HOUR);
  expect(reason(await open(ada))).toBe('review-overdue');
  await use(home, { practice: true });
});

test('practice: ends at its time by itself, and is for break-glass alone', async () => {
  const opened = await use(ada, { practice: true });
  await stage.runtime.advance(HOUR);
  await hallpass.reap();
  expect((await events('task.ended')).map(({ about }) => about)).toEqual([
    { task: opened.task.id, grant: 'glass', practice: true },
  ]);
  const plain = await stage.start();
  const answer = await plain.verbs.openTask(callerOf({ repository_id: '42' }), asking({ practice: true }));
  expect(reason(answer)).toBe('invalid-request');
});

test('listReviews, readReview: what others did is shown, and the log says to whom', async () => {
  const { task } = await use(ada);
  const [own] = await reviews(ada);
  expect(own?.taskId).toBe(task.id);
  value(await hallpass.verbs.readReview(ada, own!.id));
  expect(await events('disclosed')).toEqual([]);
  await reviews();
  value(await hallpass.verbs.readReview(person('auditor', {}, ['auditor']), own!.id));
  expect(await events('disclosed')).toMatchObject([
    { actor: { subject: 'lead' }, data: { what: 'reviews', filter: { reviews: 1 } } },
    { actor: { subject: 'auditor' }, data: { what: 'review', filter: { id: own!.id } } },
  ]);
  const once = onceOnly(ada, 'read');
  value(await hallpass.verbs.readReview(once, own!.id));
  expect(reason(await hallpass.verbs.readReview(once, own!.id))).toBe('unauthenticated');
});
