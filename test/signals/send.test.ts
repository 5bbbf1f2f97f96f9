import { createLocalJWKSet, jwtVerify } from 'jose';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { NewEvent } from '../../src/audit/event.ts';
import { createFollower, type Follower } from '../../src/export/follower.ts';
import { createIssuer, type Issuer } from '../../src/issuer/issuer.ts';
import { readMasterKeys } from '../../src/issuer/master-keys.ts';
import { composeReceivers } from '../../src/signals/compose.ts';
import { SESSION_REVOKED } from '../../src/signals/events.ts';
import { receiverConsumer } from '../../src/signals/send.ts';
import { type Committer, createCommitter } from '../../src/store/commit.ts';
import type { Database } from '../../src/store/database.ts';
import { listEvents } from '../../src/store/events.ts';
import { openTestLog, silent } from '../support/log.ts';
import { startReceiver } from '../support/receiver.ts';
import { createTestRuntime, type TestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
const URL_OF_OURS = 'https://hallpass.example';
const AUDIENCE = 'https://siem.example';
let database: Database;
let runtime: TestRuntime;
let committer: Committer;
let issuer: Issuer;
let siem: Awaited<ReturnType<typeof startReceiver>>;
let sequence: () => Promise<number>;
let follower: Follower;

beforeEach(async () => {
  database = await store.open();
  runtime = createTestRuntime();
  siem = await startReceiver(202);
  ({ sequence } = await openTestLog(database, runtime));
  committer = createCommitter(database, runtime);
  const masterKeys = readMasterKeys(Buffer.from(runtime.randomBytes(32)).toString('base64'));
  if (!masterKeys.ok) throw new Error(masterKeys.error);
  issuer = await createIssuer({
    url: URL_OF_OURS,
    algorithm: 'ES256',
    rotateEveryMs: 30 * 86_400_000,
    masterKeys: masterKeys.value,
    database,
    runtime,
    onError: () => {},
  });
  const receiver = { name: 'siem', url: `${siem.url}/events`, audience: AUDIENCE, authorization: 'Bearer t' };
  const issuerUrls = new Map([['ci', 'https://ci.example']]);
  follower = createFollower(
    { database, runtime, log: silent, holder: 'one' },
    receiverConsumer({ runtime, issuer, issuerUrls }, receiver),
  );
  await follower.open();
});
afterEach(async () => {
  await siem.close();
  await database.close();
});
afterAll(() => store.stop());

const operator = { kind: 'principal', issuer: 'corp', subject: 'ada' } as const;

function killed(match: object, actor: NewEvent['actor'] = operator): NewEvent {
  const all = { issuer: null, subject: null, grant: null, target: null, task: null };
  const data = { id: 'k', reason: 'laptop stolen: see the secret plan', match: { ...all, ...match } };
  return { kind: 'kill.ordered', actor, about: {}, data };
}

function ended(lease: string, outcome: 'revoked' | 'denied' | 'expired' | 'never-minted'): NewEvent {
  return {
    kind: 'lease.ended',
    actor: { kind: 'system' },
    about: { task: 't', lease, grant: 'report', target: 'warehouse' },
    data: { outcome, reason: 'completed', evidence: { secretive: 'detail' } },
  };
}

async function happen(...events: NewEvent[]): Promise<void> {
  for (const event of events) await committer.commit({ events: [event] });
  await sequence();
}

/** What the receiver has, verified with the keys that the broker publishes. */
async function received() {
  const keys = createLocalJWKSet(issuer.jwks() as unknown as Parameters<typeof createLocalJWKSet>[0]);
  return Promise.all(
    siem.taken.map(async ({ body, headers }) => {
      const { payload } = await jwtVerify(body, keys, {
        issuer: URL_OF_OURS,
        audience: AUDIENCE,
        typ: 'secevent+jwt',
        currentDate: new Date(runtime.now()),
      });
      expect(headers).toMatchObject({
        'content-type': 'application/secevent+jwt',
        authorization: 'Bearer t',
      });
      return payload;
    }),
  );
}

test('receiverConsumer: a kill of a subject is a session-revoked of it, signed by the broker, with no more than that', async () => {
  await happen(killed({ issuer: 'ci', subject: 'repo:acme/etl' }));
  await follower.tick();
  const [row] = await listEvents(database, {}, null, 10);
  expect(await received()).toEqual([
    {
      iss: URL_OF_OURS,
      aud: AUDIENCE,
      iat: Math.floor(runtime.now() / 1000),
      jti: row?.event.id,
      sub_id: { format: 'iss_sub', iss: 'https://ci.example', sub: 'repo:acme/etl' },
      events: {
        [SESSION_REVOKED]: {
          event_timestamp: Math.floor(runtime.now() / 1000),
          initiating_entity: 'admin',
        },
      },
    },
  ]);
});

test('receiverConsumer: a lease that was withdrawn is named by its id alone; one that lapsed is no revocation', async () => {
  await happen(
    ended('l1', 'revoked'),
    ended('l2', 'expired'),
    ended('l3', 'never-minted'),
    ended('l4', 'denied'),
  );
  await follower.tick();
  const tokens = await received();
  expect(tokens.map(({ sub_id }) => sub_id)).toEqual([
    { format: 'opaque', id: 'l1' },
    { format: 'opaque', id: 'l4' },
  ]);
  expect(JSON.stringify(tokens)).not.toMatch(/secretive|warehouse|report|completed/);
});

test('receiverConsumer: kills of no subject, or of a part of what it holds, are not told as its end', async () => {
  const subject = { issuer: 'ci', subject: 'x' };
  await happen(
    killed({ issuer: 'ci' }),
    killed({ grant: 'report' }),
    killed({}),
    ...['grant', 'target', 'task'].map((part) => killed({ ...subject, [part]: 'y' })),
    killed({ issuer: 'local', subject: 'no-url' }),
  );
  await follower.tick();
  expect((await received()).map(({ sub_id }) => sub_id)).toEqual([{ format: 'opaque', id: 'local:no-url' }]);
});

test('receiverConsumer: what came by a signal is not told on, so that two who tell each other come to an end', async () => {
  const transmitter = { kind: 'principal', issuer: 'signals:okta', subject: 'https://okta.example' } as const;
  await happen(killed({ issuer: 'ci', subject: 'x' }, transmitter), killed({ issuer: 'ci', subject: 'y' }));
  await follower.tick();
  expect((await received()).map(({ sub_id }) => (sub_id as { sub: string }).sub)).toEqual(['y']);
});

test('receiverConsumer: a receiver that is away gets all of it later, in order, each under its name', async () => {
  await happen(ended('l1', 'revoked'), ended('l2', 'revoked'));
  siem.faults.push(503, 'cut', 500);
  for (let i = 0; i < 3; i++) await expect(follower.tick()).rejects.toThrow();
  expect(await follower.tick()).toBe(2);
  const tokens = await received();
  expect(tokens.map(({ sub_id }) => (sub_id as { id: string }).id)).toEqual(['l1', 'l1', 'l2']);
  expect(tokens[0]?.jti).toBe(tokens[1]?.jti);
});

test('receiverConsumer: what is refused for good is given up, and the log says so', async () => {
  await happen(ended('l1', 'revoked'), ended('l2', 'revoked'));
  siem.faults.push(400, 400, 400, 400, 400, 400);
  for (let i = 0; i < 5; i++) await expect(follower.tick()).rejects.toThrow('It answered 400');
  expect(await follower.tick()).toBe(2);
  expect(await received()).toHaveLength(1);
  const [failed] = await listEvents(database, { kind: 'notification.failed' }, null, 10);
  expect(failed?.event).toMatchObject({
    about: { lease: 'l1' },
    data: { channel: 'signal:siem', of: 'lease.ended', refusals: 6 },
  });
});

test('composeReceivers: refuses to start where nothing can be signed', () => {
  const receivers = [{ name: 'siem', url: siem.url, audience: AUDIENCE, authorization: null }];
  expect(() => composeReceivers({ transmitters: [], receivers }, runtime, null, new Map())).toThrow(
    'set keys.master_key_file',
  );
  expect(composeReceivers({ transmitters: [], receivers: [] }, runtime, null, new Map())).toEqual([]);
});
