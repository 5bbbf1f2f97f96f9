import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { Broker } from '../../src/broker/broker.ts';
import { deliverTrail, type Trail, type TrailBearer } from '../../src/broker/trail.ts';
import { sha256 } from '../../src/json.ts';
import { newId } from '../../src/runtime.ts';
import type { LeaseRow } from '../../src/store/rows.ts';
import { callerOf, reason, type TestBroker, value } from '../support/broker.ts';
import { leaseRow, taskRow } from '../support/rows.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let stage: Stage;
let hallpass: TestBroker;
let broker: Broker;

/** Made anew at each run: no secret lies in a file. */
const secret = randomBytes(24).toString('hex');
const BEARER: TrailBearer = { secret };
const ROLE = 'arn:aws:iam::123456789012:role/hallpass/reports';

const TRAILS: readonly Trail[] = [
  {
    name: 'aws',
    type: 'cloudtrail',
    targets: new Set(['lake']),
    from: { secretHash: sha256(secret) },
  },
  {
    name: 'google',
    type: 'google-audit',
    targets: new Set(['data']),
    from: { who: { issuer: 'ci', claims: [] } },
  },
];

beforeEach(async () => {
  stage = await createStage(store);
  hallpass = await stage.start();
  broker = { ...hallpass.broker, trails: new Map(TRAILS.map((trail) => [trail.name, trail])) };
});
afterEach(() => stage.close());
afterAll(() => store.stop());

/** A lease that is active at a target, as its provider would have left it. */
async function leased(over: Partial<LeaseRow> = {}): Promise<LeaseRow> {
  const task = taskRow(stage.runtime);
  const intended = leaseRow(stage.runtime, task, {
    target: 'lake',
    provider: 'aws',
    handle: { role_arn: ROLE, session: 'x', deny_by: 'source-identity' },
    ...over,
  });
  const named = { ...intended, name: `${broker.mark}${intended.id}` };
  value((await broker.committer.commit({ newTask: task, newLeases: [named], events: [] })) as never);
  const active = { ...named, state: 'active' as const, issuedAt: stage.runtime.now() };
  value((await broker.committer.commit({ changedLeases: [active], events: [] })) as never);
  return stage.lease(named.id);
}

interface Session {
  readonly session?: string;
  readonly sourceIdentity?: string;
  readonly role?: string;
}

/** An event of CloudTrail as EventBridge delivers it, after AWS's example of a record. */
function cloudTrail({ session = 'somebody', sourceIdentity, role = ROLE }: Session, more: object = {}) {
  return {
    version: '0',
    'detail-type': 'AWS API Call via CloudTrail',
    source: 'aws.s3',
    detail: {
      eventVersion: '1.08',
      userIdentity: {
        type: 'AssumedRole',
        principalId: `AROAEXAMPLE:${session}`,
        arn: `arn:aws:sts::123456789012:assumed-role/reports/${session}`,
        sessionContext: {
          sessionIssuer: { type: 'Role', arn: role },
          ...(sourceIdentity === undefined ? {} : { sourceIdentity }),
        },
      },
      eventTime: '2026-03-01T12:00:05Z',
      eventSource: 's3.amazonaws.com',
      eventName: 'GetObject',
      awsRegion: 'eu-west-1',
      sourceIPAddress: '192.0.2.7',
      userAgent: '[aws-cli/2.15]',
      eventID: 'ae0d1b6a-0000-4000-8000-000000000000',
      ...more,
    },
  };
}

/** An entry of Google's audit log as Pub/Sub pushes it. */
function googleAudit(principalEmail: string, timestamp: string, more: object = {}) {
  const entry = {
    insertId: 'insert-1',
    timestamp,
    protoPayload: {
      '@type': 'type.googleapis.com/google.cloud.audit.AuditLog',
      serviceName: 'storage.googleapis.com',
      methodName: 'storage.objects.get',
      authenticationInfo: { principalEmail },
      requestMetadata: { callerIp: '198.51.100.4', callerSuppliedUserAgent: 'gcloud' },
      ...more,
    },
  };
  const data = Buffer.from(JSON.stringify(entry)).toString('base64');
  return {
    message: { data, messageId: '1', publishTime: timestamp },
    subscription: 'projects/p/subscriptions/s',
  };
}

async function used() {
  return (await hallpass.events()).filter((event) => event.kind === 'credential.used');
}

test('deliverTrail: a call by a session leads to its lease by the source identity', async () => {
  const lease = await leased();
  const body = cloudTrail({
    session: 'chained',
    sourceIdentity: lease.name,
    role: 'arn:aws:iam::9:role/other',
  });
  expect(value(await deliverTrail(broker, 'aws', BEARER, body))).toBe(1);
  // It comes twice.
  expect(value(await deliverTrail(broker, 'aws', BEARER, body))).toBe(1);
  const [event, ...more] = await used();
  expect(more).toEqual([]);
  expect(event).toMatchObject({
    about: { lease: lease.id, target: 'lake' },
    data: {
      how: 'trail',
      seenAt: '2026-03-01T12:00:05.000Z',
      since: null,
      address: '192.0.2.7',
      application: '[aws-cli/2.15]',
      trail: { name: 'aws', action: 's3.amazonaws.com GetObject', error: null },
    },
  });
  expect((await stage.lease(lease.id)).use).toMatchObject({
    verdict: 'used',
    places: [{ address: '192.0.2.7' }],
  });
});

test('deliverTrail: a session name counts for the role of its lease alone, since anybody can choose one', async () => {
  const lease = await leased();
  const other = cloudTrail({ session: lease.name, role: 'arn:aws:iam::123456789012:role/mine' });
  expect(value(await deliverTrail(broker, 'aws', BEARER, other))).toBe(0);
  expect(await used()).toEqual([]);
  const own = cloudTrail({ session: lease.name }, { errorCode: 'AccessDenied' });
  expect(value(await deliverTrail(broker, 'aws', BEARER, own))).toBe(1);
  expect((await used())[0]?.data).toMatchObject({ trail: { error: 'AccessDenied' } });
});

test('deliverTrail: tells of leases of its own targets alone, and of none that there is not', async () => {
  const elsewhere = await leased({ target: 'warehouse' });
  const nobody = `${broker.mark}${newId(stage.runtime)}`;
  for (const sourceIdentity of [elsewhere.name, nobody, `hp_zzzz_${elsewhere.id}`, 'x'])
    expect(value(await deliverTrail(broker, 'aws', BEARER, cloudTrail({ sourceIdentity })))).toBe(0);
  for (const body of [
    null,
    {},
    { detail: {} },
    cloudTrail({}, { userIdentity: { type: 'IAMUser', arn: 'x' } }),
  ])
    expect(value(await deliverTrail(broker, 'aws', BEARER, body))).toBe(0);
  expect(await used()).toEqual([]);
});

test('deliverTrail: refuses what does not bear what the trail does, and logs it', async () => {
  const lease = await leased();
  const body = cloudTrail({ sourceIdentity: lease.name });
  const caller = callerOf({ repository_id: '42' });
  for (const [name, bearer] of [
    ['aws', { secret: `${secret}x` }],
    ['aws', { caller }],
    ['google', BEARER],
    ['nowhere', BEARER],
  ] as const)
    expect(reason(await deliverTrail(broker, name, bearer, body))).toBe('unauthenticated');
  const refused = (await hallpass.events()).filter(({ kind }) => kind === 'request.refused');
  expect(refused).toHaveLength(4);
  expect(JSON.stringify(refused)).not.toContain(secret);
  expect(await used()).toEqual([]);
});

test('deliverTrail: a use that is told of after the end is written with the lease that has ended', async () => {
  const lease = await leased();
  const ended = {
    ...lease,
    state: 'ended' as const,
    dueAt: null,
    endReason: 'completed' as const,
    endingSince: stage.runtime.now(),
    endedAt: stage.runtime.now(),
    outcome: 'denied' as const,
    use: { verdict: 'unknown', why: 'not-observed' } as const,
  };
  value((await broker.committer.commit({ changedLeases: [ended], events: [] })) as never);
  expect(value(await deliverTrail(broker, 'aws', BEARER, cloudTrail({ sourceIdentity: lease.name })))).toBe(
    1,
  );
  expect(await stage.lease(lease.id)).toMatchObject({ state: 'ended', use: { verdict: 'used' } });
});

const ACCOUNT = 'reports@acme.iam.gserviceaccount.com';
const AT = '2026-03-01T12:00:05.123456789Z';

test('deliverTrail: what names an account alone is told of each lease that it may be of, as that', async () => {
  const scope = { service_account: ACCOUNT, scopes: [] };
  const google = { target: 'data', provider: 'google', handle: {}, scope };
  const maybe = [await leased(google), await leased(google)];
  await leased({ ...google, scope: { ...scope, service_account: 'other@acme.iam.gserviceaccount.com' } });
  await leased({ ...google, target: 'elsewhere' });
  await leased({ ...google, expiresAt: Date.parse(AT) });
  stage.runtime.jump(60_000);
  await leased(google);
  const bearer = { caller: callerOf({}) };
  expect(value(await deliverTrail(broker, 'google', bearer, googleAudit(ACCOUNT, AT)))).toBe(2);
  const events = await used();
  expect(events.map(({ about }) => about.lease).sort()).toEqual(maybe.map(({ id }) => id).sort());
  expect(events[0]?.data).toMatchObject({ how: 'trail', mayBeOf: 2, address: '198.51.100.4' });
  expect((await stage.lease(maybe[0]!.id)).use).toMatchObject({ verdict: 'maybe-used' });
  expect(value(await deliverTrail(broker, 'google', bearer, googleAudit('who@acme', AT)))).toBe(0);
  for (const body of [
    {},
    { message: { data: '!', messageId: '1' } },
    { message: { data: 'e30=', messageId: '1' } },
  ])
    expect(value(await deliverTrail(broker, 'google', bearer, body))).toBe(0);
});
