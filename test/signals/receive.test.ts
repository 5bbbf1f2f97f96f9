import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type App, createApp } from '../../src/http/app.ts';
import { defaultHttpLimits } from '../../src/http/limits.ts';
import { prometheusMetrics } from '../../src/http/metrics.ts';
import type { SignalSettings } from '../../src/signals/compose.ts';
import { composeSignalDesk } from '../../src/signals/compose.ts';
import { CREDENTIAL_CHANGE, SESSION_REVOKED, VERIFICATION } from '../../src/signals/events.ts';
import { asking, callerOf, reason, type TestBroker, value, WORKLOAD } from '../support/broker.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { faulty } from '../support/log.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
const AUDIENCE = 'https://hallpass.example/signals';
const CI = 'https://ci.example';
const OPERATOR = callerOf({ team: 'sre' }, ['operator']);
let stage: Stage;
let hallpass: TestBroker;
let okta: TestIssuer;
let app: App;

async function serve(
  over: Partial<SignalSettings['transmitters'][0]> = {},
  broker = hallpass,
): Promise<void> {
  const transmitter = {
    name: 'okta',
    issuer: okta.url,
    audience: AUDIENCE,
    keys: { uri: `${okta.url}/jwks` },
    speaksFor: ['ci'],
    blockSeconds: 600,
    ...over,
  };
  const urls = new Map([
    ['ci', CI],
    ['corp', 'https://corp.example'],
  ]);
  const settings = { transmitters: [transmitter], receivers: [] };
  const signals = composeSignalDesk(broker.broker, broker.verbs, settings, urls);
  if (signals === null) throw new Error('a desk');
  app = createApp({
    verbs: broker.verbs,
    runtime: stage.runtime,
    limits: defaultHttpLimits,
    url: 'https://hallpass.example',
    log: pino({ level: 'silent' }),
    metrics: prometheusMetrics(new Registry()),
    ready: async () => ({ ready: true, reasons: [] }),
    version: '1.2.3',
    signals,
  });
}

beforeEach(async () => {
  stage = await createStage(store);
  hallpass = await stage.start();
  okta = await startIssuer({ now: stage.runtime.now });
  await serve();
});
afterEach(async () => {
  await stage.check();
  await okta.close();
  await stage.close();
});
afterAll(() => store.stop());

const SUBJECT = { format: 'iss_sub', iss: CI, sub: 'repo:acme/etl' };
const revoked = (over: object = {}) => ({ [SESSION_REVOKED]: { event_timestamp: 1, ...over } });

/** A token that is good unless the test says otherwise. */
function token(claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> {
  return okta.sign(
    { aud: AUDIENCE, sub: undefined, exp: undefined, sub_id: SUBJECT, events: revoked(), ...claims },
    { header: { typ: 'secevent+jwt', ...header } },
  );
}

async function push(body: string, type = 'application/secevent+jwt') {
  const answer = await app.request('/signals', { method: 'POST', headers: { 'content-type': type }, body });
  const text = await answer.text();
  return { status: answer.status, err: text === '' ? null : (JSON.parse(text).err as string) };
}

const TAKEN = { status: 202, err: null };
const refused = (err: string) => ({ status: 400, err });
const kills = async () =>
  (await hallpass.events()).flatMap((event) => (event.kind === 'kill.ordered' ? [event] : []));

test('session-revoked: ends all that the subject holds, and keeps it out for its time', async () => {
  const { leaseId } = await stage.open(hallpass);
  const jti = 'set-1';
  const events = revoked({ reason_admin: { en: 'laptop stolen' } });
  expect(await push(await token({ jti, events }))).toEqual(TAKEN);
  await hallpass.reap();
  expect(await stage.lease(leaseId)).toMatchObject({ state: 'ended', endReason: 'killed' });
  expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('not-allowed');
  expect(await kills()).toMatchObject([
    {
      actor: { kind: 'principal', issuer: 'signals:okta', subject: okta.url },
      data: {
        reason: 'session-revoked by "okta", "set-1": laptop stolen',
        match: { issuer: 'ci', subject: 'repo:acme/etl', grant: null, target: null, task: null },
      },
    },
  ]);
  await stage.runtime.advance(600_000);
  await hallpass.reap();
  value(await hallpass.verbs.openTask(WORKLOAD, asking()));
});

test('session-revoked: the subject of drafts, within the event, does as well', async () => {
  const { leaseId } = await stage.open(hallpass);
  const events = revoked({ subject: SUBJECT });
  expect(await push(await token({ sub_id: undefined, events }))).toEqual(TAKEN);
  expect((await stage.lease(leaseId)).endReason).toBe('killed');
  expect(await push(await token({ events }))).toEqual(refused('invalid_request'));
});

test('credential-change: ends when something is taken away, and nothing when it is not', async () => {
  for (const change_type of ['create', 'update'])
    expect(await push(await token({ events: { [CREDENTIAL_CHANGE]: { change_type } } }))).toEqual(TAKEN);
  expect(await kills()).toEqual([]);
  for (const change_type of ['revoke', 'delete'])
    expect(await push(await token({ events: { [CREDENTIAL_CHANGE]: { change_type } } }))).toEqual(TAKEN);
  expect(await kills()).toHaveLength(2);
});

test('verification: is taken, and does nothing', async () => {
  const events = { [VERIFICATION]: { state: 'x' } };
  expect(await push(await token({ events, sub_id: { format: 'opaque', id: 'stream' } }))).toEqual(TAKEN);
  expect(await kills()).toEqual([]);
});

test('a token that comes again is taken again, and kills once', async () => {
  const text = await token({ jti: 'twice' });
  const answers = await Promise.all([push(text), push(text), push(text)]);
  expect(answers).toEqual([TAKEN, TAKEN, TAKEN]);
  // The same signal, signed anew.
  expect(await push(await token({ jti: 'twice' }))).toEqual(TAKEN);
  expect(await kills()).toHaveLength(1);
  const standing = value(await hallpass.verbs.listBlocks(OPERATOR));
  expect(standing).toHaveLength(1);
});

test('a broker that dies before the order is durable kills when the token comes again', async () => {
  const { leaseId } = await stage.open(hallpass);
  let dies = true;
  const database = faulty(stage.database, (statement, phase) => {
    if (statement.name === 'order_kill' && phase === 'before' && dies) throw new Error('the process died');
  });
  await serve({}, await stage.start({ database }));
  const text = await token();
  expect((await push(text)).status).toBe(500);
  dies = false;
  expect(await push(text)).toEqual(TAKEN);
  expect((await stage.lease(leaseId)).endReason).toBe('killed');
});

describe('refuses', () => {
  afterEach(async () => expect(await kills()).toEqual([]));

  test('what its transmitter did not sign', async () => {
    const good = await token();
    const [header, payload, signature] = good.split('.') as [string, string, string];
    const other = await startIssuer({ now: stage.runtime.now });
    const forged = await other.sign(
      { iss: okta.url, aud: AUDIENCE, sub_id: SUBJECT, events: revoked(), exp: undefined, sub: undefined },
      { header: { typ: 'secevent+jwt', kid: okta.header().kid } },
    );
    await other.close();
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const altered = Buffer.from(JSON.stringify({ ...claims, jti: 'x' })).toString('base64url');
    expect(await push(forged)).toEqual(refused('authentication_failed'));
    expect(await push(`${header}.${altered}.${signature}`)).toEqual(refused('authentication_failed'));
  });

  test('algorithms without a key, or with the public one', async () => {
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { iss: okta.url, aud: AUDIENCE, jti: 'x', iat: stage.runtime.now() / 1000 };
    const payload = encode({ ...claims, sub_id: SUBJECT, events: revoked() });
    for (const alg of ['none', 'None', 'HS256']) {
      const header = encode({ alg, typ: 'secevent+jwt' });
      expect(await push(`${header}.${payload}.`)).toEqual(refused('invalid_key'));
      expect(await push(`${header}.${payload}.AAAA`)).toEqual(refused('invalid_key'));
    }
  });

  test('keys that the token brings or names elsewhere', async () => {
    for (const header of [
      { jku: 'https://evil.example' },
      { jwk: okta.jwks().keys[0] },
      { x5u: 'https://e' },
    ])
      expect(await push(await token({}, header))).toEqual(refused('invalid_request'));
    expect(await push(await token({}, { kid: 'unknown' }))).toEqual(refused('invalid_key'));
  });

  test('tokens of other kinds: an identity token is no signal', async () => {
    for (const typ of ['JWT', 'at+jwt', undefined])
      expect(await push(await token({}, { typ }))).toEqual(refused('invalid_request'));
  });

  test('other audiences, several of them, and none', async () => {
    for (const aud of ['https://other.example', [AUDIENCE, 'https://other.example'], [], undefined])
      expect(await push(await token({ aud }))).toEqual(refused('invalid_audience'));
  });

  test('an issuer whom nobody knows, without asking anybody (invariant 6)', async () => {
    const stranger = await startIssuer({ now: stage.runtime.now });
    const claims = { aud: AUDIENCE, sub_id: SUBJECT, events: revoked(), exp: undefined, sub: undefined };
    const header = { typ: 'secevent+jwt' };
    for (const iss of [stranger.url, `${okta.url}/`, [okta.url], undefined])
      expect(await push(await stranger.sign({ ...claims, iss }, { header }))).toEqual(
        refused('invalid_issuer'),
      );
    expect(stage.runtime.hosts).toEqual([]);
    expect(stranger.hits()).toEqual({ discovery: 0, keys: 0 });
    await stranger.close();
  });

  test('what is too old, of the future, or has expired, and what has no time or name', async () => {
    const now = Math.floor(stage.runtime.now() / 1000);
    for (const over of [
      { iat: now - 86_401 },
      { iat: now + 61 },
      { iat: `${now}` },
      { iat: undefined },
      { exp: now - 61 },
      { exp: 'never' },
      { jti: undefined },
      { jti: '' },
      { jti: 7 },
    ])
      expect(await push(await token(over))).toEqual(refused('invalid_request'));
  });

  test('subjects that would have to be guessed', async () => {
    for (const sub_id of [
      { format: 'email', email: 'ada@example.com' },
      { format: 'opaque', id: 'repo:acme/etl' },
      { format: 'complex', user: SUBJECT },
      { iss: CI, sub: 'repo:acme/etl' },
      { format: 'iss_sub', iss: CI },
      { format: 'iss_sub', iss: CI, sub: 7 },
      'repo:acme/etl',
      null,
      undefined,
    ])
      expect(await push(await token({ sub_id }))).toEqual(refused('invalid_request'));
  });

  test('subjects of issuers that it does not speak for', async () => {
    for (const iss of ['https://corp.example', 'ci', `${CI}/`, undefined])
      expect(await push(await token({ sub_id: { ...SUBJECT, iss } }))).toEqual(refused('access_denied'));
  });

  test('events that are none, several, or not understood', async () => {
    for (const events of [
      undefined,
      {},
      [],
      { ...revoked(), [VERIFICATION]: {} },
      { 'https://schemas.example/other': {} },
      { [SESSION_REVOKED]: null },
    ])
      expect(await push(await token({ events }))).toEqual(refused('invalid_request'));
  });

  test('bodies that are no tokens, or come as something else', async () => {
    for (const body of ['', 'x', 'a.b.c', '{}', `${'a'.repeat(20_000)}.b.c`])
      expect(await push(body)).toEqual(refused('invalid_request'));
    expect(await push(await token(), 'application/jwt')).toEqual(refused('invalid_request'));
  });

  test('nothing for good while the keys cannot be had: it may come again', async () => {
    okta.fail('status-500');
    expect((await push(await token())).status).toBe(503);
  });

  test('and writes down every refusal', async () => {
    await push(await token({ aud: 'https://other.example' }));
    const events = await hallpass.events();
    expect(events.at(-1)).toMatchObject({
      kind: 'request.refused',
      actor: { kind: 'system' },
      data: { request: 'signal', reason: 'unauthenticated' },
    });
  });
});

test('composeSignalDesk: takes pinned keys, and asks nobody then', async () => {
  await serve({ keys: { set: JSON.stringify(okta.jwks()) } });
  expect(await push(await token())).toEqual(TAKEN);
  expect(okta.hits().keys).toBe(0);
  const secret = { keys: [{ kty: 'oct', k: 'AAAA' }] };
  for (const set of ['no', '{}', '{"keys":[]}', JSON.stringify(secret)])
    await expect(serve({ keys: { set } })).rejects.toThrow(
      'Cannot use the keys of signals.transmitters "okta"',
    );
});
