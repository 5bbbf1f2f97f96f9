import { createHmac } from 'node:crypto';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { NewEvent } from '../../src/audit/event.ts';
import { eventSchema } from '../../src/audit/schema.ts';
import { createFollower, watchLag } from '../../src/export/follower.ts';
import {
  CHANNEL_PREFIX,
  type Channel,
  consumerOf,
  DEFAULT_EVENTS,
  isWanted,
} from '../../src/notify/channel.ts';
import { webhookChannel } from '../../src/notify/webhook.ts';
import { type Committer, createCommitter } from '../../src/store/commit.ts';
import type { Database } from '../../src/store/database.ts';
import { listEvents } from '../../src/store/events.ts';
import { faulty, noted, openTestLog, silent } from '../support/log.ts';
import { startReceiver } from '../support/receiver.ts';
import { createTestRuntime, type TestRuntime, until } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let database: Database;
let runtime: TestRuntime;
let committer: Committer;
let secret: string;
let hook: Awaited<ReturnType<typeof startReceiver>>;
let sequence: () => Promise<number>;
/** Deliveries that are under way. */
let sending: number;

beforeEach(async () => {
  database = await store.open();
  runtime = createTestRuntime();
  secret = Buffer.from(runtime.randomBytes(24)).toString('hex');
  hook = await startReceiver();
  sending = 0;
  ({ sequence } = await openTestLog(database, runtime));
  committer = createCommitter(database, runtime);
});
afterEach(async () => {
  await hook.close();
  await database.close();
});
afterAll(() => store.stop());

const denied = (id: string): NewEvent => ({
  kind: 'request.denied',
  actor: { kind: 'principal', issuer: 'ci', subject: 'lead' },
  about: { grant: 'report' },
  data: { id, reason: 'no' },
});

/** Commits events, and gives them their places. */
async function happen(...events: NewEvent[]): Promise<void> {
  for (const event of events) await committer.commit({ events: [event] });
  await sequence();
}

const told = (received: readonly { readonly body: string }[] = hook.taken) =>
  received.map(({ body }) => JSON.parse(body).data.id);

function follow({ holder = 'one', events = DEFAULT_EVENTS, name = 'ops', over = database } = {}) {
  const hooked = webhookChannel({ url: `${hook.url}/hook`, secret }, runtime);
  const channel: Channel = {
    async send(notice, event, signal) {
      sending++;
      await hooked.send(notice, event, signal).finally(() => sending--);
    },
  };
  const consumer = consumerOf({ name, events, channel }, 'https://hallpass.example');
  return createFollower({ database: over, runtime, log: silent, holder }, consumer);
}

/** Runs a loop until `enough`, moving the clock on whenever it waits: between two attempts, or for what gets no answer. */
async function running(
  follower: ReturnType<typeof follow>,
  enough: () => boolean | Promise<boolean>,
): Promise<number> {
  const stop = new AbortController();
  const begun = runtime.now();
  const loop = follower.run(stop.signal);
  for (let i = 0; i < 400 && !(await enough()); i++) {
    await until(() => runtime.sleeping() > 0 && (sending === 0 || hook.hanging() > 0));
    await runtime.advance(500);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  stop.abort();
  await runtime.advance(60_000);
  await loop;
  return runtime.now() - begun;
}

const failures = async () => {
  const events = (await listEvents(database, { kind: 'notification.failed' }, null, 100)).map(
    (row) => row.event,
  );
  for (const event of events) expect(eventSchema.safeParse(event).error).toBeUndefined();
  return events;
};

test('webhookChannel: tells what is wanted alone, in order, signed, with an id, and from now on', async () => {
  await happen(denied('before'));
  const follower = follow();
  await follower.open();
  await happen(noted(), denied('a'), noted(), denied('b'), noted());
  expect(await follower.tick()).toBe(5);
  expect(told()).toEqual(['a', 'b']);
  const [{ headers, body }] = hook.taken as [(typeof hook.taken)[0]];
  expect(JSON.parse(body)).toEqual({
    id: headers['idempotency-key'],
    kind: 'request.denied',
    at: new Date(runtime.now()).toISOString(),
    title: 'A request for grant report is denied',
    link: 'https://hallpass.example/requests/a',
    actor: { kind: 'principal', issuer: 'ci', subject: 'lead' },
    about: { grant: 'report' },
    data: { id: 'a', reason: 'no' },
  });
  const [, seconds, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['hallpass-signature']))!;
  expect(createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')).toBe(mac);
  expect(Number(seconds)).toBe(Math.floor(runtime.now() / 1000));
});

test('isWanted: kinds by name, and by how they begin', () => {
  const wanted = (kind: string) => isWanted({ kind }, DEFAULT_EVENTS);
  for (const kind of ['request.created', 'kill.ordered', 'block.lifted', 'breakglass.used', 'review.due'])
    expect(wanted(kind)).toBe(true);
  for (const kind of ['request.refused', 'lease.issued', 'killer', 'xrequest.created', 'disclosed'])
    expect(wanted(kind)).toBe(false);
});

test('createFollower: a channel that is away delays, and gets everything once it is back, in order', async () => {
  const follower = follow();
  await follower.open();
  hook.faults.push(500, 503, 'cut', 429, 408, 302);
  await happen(denied('a'), denied('b'), denied('c'));
  await running(follower, () => hook.taken.length >= 4);
  // The one whose connection was cut had taken it, and gets it again under the same id.
  expect(told()).toEqual(['a', 'a', 'b', 'c']);
  expect(hook.taken[0]?.headers['idempotency-key']).toBe(hook.taken[1]?.headers['idempotency-key']);
  expect(await failures()).toEqual([]);
});

test('createFollower: one that is slow is given up on in time, and told again', async () => {
  const follower = follow();
  await follower.open();
  hook.faults.push('hang');
  await happen(denied('a'));
  const first = follower.tick();
  first.catch(() => {});
  await until(() => hook.came.length === 1);
  await runtime.advance(30_000);
  await expect(first).rejects.toMatchObject({ code: 'timeout' });
  expect(await follower.tick()).toBe(1);
  expect(told()).toEqual(['a']);
});

test('createFollower: waits as long as it is asked to', async () => {
  const follower = follow();
  await follower.open();
  hook.faults.push({ status: 429, retryAfter: '40' });
  await happen(denied('a'));
  const begun = runtime.now();
  let at = 0;
  await running(follower, () => {
    if (hook.taken.length > 0 && at === 0) at = runtime.now();
    return at > 0;
  });
  expect(at - begun).toBeGreaterThanOrEqual(40_000);
});

test('createFollower: what is refused for good is given up in time, with an event, and holds up nothing after it', async () => {
  const follower = follow();
  await follower.open();
  hook.faults.push(400, 404, 410, 403, 422, 413);
  await happen(denied('bad'), denied('good'));
  await running(follower, () => hook.taken.length > 0);
  expect(told()).toEqual(['good']);
  expect(hook.came).toHaveLength(7);
  expect(await failures()).toMatchObject([
    {
      actor: { kind: 'system' },
      about: { grant: 'report' },
      data: { channel: 'ops', of: 'request.denied', refusals: 6, detail: 'It answered 413' },
    },
  ]);
});

test('createFollower: refusals are counted across processes, and a good answer forgets them', async () => {
  await follow().open();
  await happen(denied('a'), denied('b'));
  for (let i = 0; i < 5; i++) {
    hook.faults.push(400);
    runtime.jump(60_001);
    await expect(follow({ holder: `${i}` }).tick()).rejects.toThrow('It answered 400');
  }
  runtime.jump(60_001);
  hook.faults.push(null, 400);
  await expect(follow({ holder: 'last' }).tick()).rejects.toThrow('It answered 400');
  expect(told()).toEqual(['a']);
  expect(await failures()).toEqual([]);
});

test('createFollower: a channel is not told of its own failures, others are', async () => {
  const events = ['notification.failed'];
  const [own, other] = [follow({ events }), follow({ events, name: 'other' })];
  await Promise.all([own.open(), other.open()]);
  await happen({
    kind: 'notification.failed',
    actor: { kind: 'system' },
    about: {},
    data: { channel: 'ops', event: 'x', of: 'request.denied', refusals: 6, detail: 'It answered 400' },
  });
  await own.tick();
  expect(hook.came).toHaveLength(0);
  await other.tick();
  expect(hook.came).toHaveLength(1);
});

test('createFollower: dying between a message and its cursor sends it again, and loses none', async () => {
  await follow().open();
  await happen(denied('a'), denied('b'));
  let dies = true;
  const dying = faulty(database, (statement, phase) => {
    if (statement.name === 'advance_sink' && phase === 'before' && dies) throw new Error('the process died');
  });
  await expect(follow({ over: dying }).tick()).rejects.toThrow('the process died');
  dies = false;
  runtime.jump(60_001);
  await follow({ holder: 'two' }).tick();
  expect(told()).toEqual(['a', 'a', 'b']);
});

test('createFollower: of two replicas that contend one tells, and the other once it is gone', async () => {
  const [one, two] = [follow(), follow({ holder: 'two' })];
  await Promise.all([one.open(), two.open()]);
  await happen(denied('a'), denied('b'), denied('c'));
  const counts = await Promise.all([one.tick(), two.tick()]);
  expect(told()).toEqual(['a', 'b', 'c']);
  expect(counts.filter((count) => count > 0)).toHaveLength(1);
  await happen(denied('d'));
  runtime.jump(60_001);
  expect(await two.tick()).toBe(1);
  expect(await one.tick()).toBe(0);
  expect(told()).toEqual(['a', 'b', 'c', 'd']);
});

test('createFollower: one who was overtaken while it sent stops, and moves nobody back', async () => {
  const [one, two] = [follow(), follow({ holder: 'two' })];
  await one.open();
  await happen(denied('a'), denied('b'), denied('c'));
  hook.faults.push('hang');
  const slow = one.tick();
  slow.catch(() => {});
  await until(() => hook.came.length === 1);
  runtime.jump(60_001);
  await two.tick();
  await runtime.advance(30_000);
  await expect(slow).rejects.toMatchObject({ code: 'timeout' });
  expect(told()).toEqual(['a', 'b', 'c']);
  runtime.jump(60_001);
  expect(await one.tick()).toBe(0);
});

test('createFollower: one that stops lets go of what hangs, and the next takes over at once', async () => {
  const one = follow();
  await one.open();
  await happen(denied('a'), denied('b'), denied('c'));
  hook.faults.push(null, 'hang');
  const stop = new AbortController();
  const loop = one.run(stop.signal);
  await until(() => hook.came.length === 2);
  stop.abort();
  await loop;
  expect(told()).toEqual(['a']);
  expect(await follow({ holder: 'two' }).tick()).toBe(2);
  expect(told()).toEqual(['a', 'b', 'c']);
});

test('watchLag: shows how far a channel is behind, and sinks and channels apart', async () => {
  await follow().open();
  await happen(denied('a'), noted());
  const registry = new Registry();
  const gauge = { name: 'behind', help: 'x', label: 'channel', prefix: CHANNEL_PREFIX };
  watchLag(database, registry, gauge);
  watchLag(database, registry, { ...gauge, name: 'sinks', prefix: '' });
  expect(await registry.metrics()).toContain('behind{channel="ops"} 2');
  expect(await registry.metrics()).not.toContain('sinks{');
  await follow().tick();
  expect(await registry.metrics()).toContain('behind{channel="ops"} 0');
});
