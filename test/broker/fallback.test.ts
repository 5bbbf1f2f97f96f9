import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { type Fallback, guarded, look, reachAll } from '../../src/broker/fallback.ts';
import { LOOK_EVERY_MS } from '../../src/broker/fallback-state.ts';
import type { Evidence } from '../../src/identity/attestor.ts';
import { createKeysAttestor } from '../../src/identity/keys/kind.ts';
import { createOidcAttestor } from '../../src/identity/oidc/attestor.ts';
import { BROKER, keysSettingsOf } from '../identity/keys/world.ts';
import { settingsOf } from '../identity/oidc/world.ts';
import { asking, REPORT_GRANT, reason, type TestBroker, value } from '../support/broker.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
const RULE = { issuer: 'stand-in', standsFor: 'staff', afterSeconds: 120 };
/** Three looks more than it takes. */
const LOOKS = 1 + (RULE.afterSeconds * 1000) / LOOK_EVERY_MS;
let stage: Stage;
let staff: TestIssuer;
/** Lends its keys alone: its server is never asked. */
let holder: TestIssuer;
let hallpass: TestBroker;
let fallback: Fallback;

beforeEach(async () => {
  stage = await createStage(store);
  staff = await startIssuer({ now: stage.runtime.now });
  holder = await startIssuer({ now: stage.runtime.now });
  [hallpass, fallback] = await replica();
});
afterEach(async () => {
  await stage.check();
  await stage.close();
  await Promise.all([staff.close(), holder.close()]);
});
afterAll(() => store.stop());

/** A broker over the same store, with its own way to the issuer. */
async function replica(): Promise<[TestBroker, Fallback]> {
  const { runtime, database } = stage;
  const primary = createOidcAttestor('staff', settingsOf({ issuer: staff.url }), runtime);
  const keys = createKeysAttestor('stand-in', keysSettingsOf({ subjects: ['alice'], jwks: holder.jwks() }));
  const who = [{ issuer: 'stand-in', claims: { sub: 'alice' } }];
  const started = await stage.start({
    attestors: [primary, guarded(keys, RULE, { runtime, database })],
    grants: { report: { ...(REPORT_GRANT as object), who } as never },
  });
  return [started, { ...RULE, reach: primary.reach! }];
}

let drawn = 0;
async function evidence(): Promise<Evidence> {
  const iat = stage.runtime.now() / 1000;
  const claims = { iss: 'alice', sub: 'alice', aud: BROKER, iat, exp: iat + 60, jti: `${++drawn}` };
  return { kind: 'bearer', token: await holder.sign(claims) };
}

async function open() {
  const caller = await hallpass.verbs.identify(await evidence(), 'open-task');
  return caller.ok ? hallpass.verbs.openTask(caller.value, asking()) : caller;
}

/** So many looks, one after another in their time. */
async function lookAgain(times = LOOKS, one = fallback, by = hallpass): Promise<void> {
  for (let i = 0; i < times; i++) {
    stage.runtime.jump(LOOK_EVERY_MS);
    await look(by.broker, one);
  }
}

const kinds = async () => (await hallpass.events()).map(({ kind }) => kind);

test('fallback: refused while the issuer that it stands in for is healthy or unknown, and says so', async () => {
  expect(reason(await open())).toBe('fallback-closed');
  await lookAgain(3);
  expect(reason(await open())).toBe('fallback-closed');
  const refused = (await hallpass.events()).filter(({ kind }) => kind === 'request.refused');
  expect(refused.map(({ data }) => (data as { detail: string }).detail)).toEqual([
    'stand-in: fallback-closed: it is not known whether "staff" can be reached',
    'stand-in: fallback-closed: "staff" can be reached: use it',
  ]);
  expect(await kinds()).not.toContain('fallback.used');
});

test('fallback: a forged assertion is unauthenticated, whatever the state: a stranger learns nothing', async () => {
  const stranger = await startIssuer({ now: stage.runtime.now });
  const iat = stage.runtime.now() / 1000;
  const token = await stranger.sign({
    iss: 'alice',
    sub: 'alice',
    aud: BROKER,
    iat,
    exp: iat + 60,
    jti: 'x',
  });
  await stranger.close();
  expect(reason(await hallpass.verbs.identify({ kind: 'bearer', token }, 'test'))).toBe('unauthenticated');
});

test('fallback: taken once every look has failed for long enough, loudly, and closed by the first that succeeds', async () => {
  await lookAgain(2);
  staff.fail('status-500');
  await lookAgain(LOOKS - 1);
  expect(reason(await open())).toBe('fallback-closed');
  await lookAgain(1);
  const opened = value(await open());
  expect(opened.task).toMatchObject({ issuer: 'stand-in', subject: 'alice' });
  staff.fail(null);
  await lookAgain(1);
  expect(reason(await open())).toBe('fallback-closed');
  const told = (await hallpass.events()).filter(({ kind }) => kind.startsWith('fallback.'));
  expect(told.map(({ kind }) => kind)).toEqual(['fallback.opened', 'fallback.used', 'fallback.closed']);
  expect(told[1]).toMatchObject({
    actor: { issuer: 'stand-in', subject: 'alice' },
    data: { standsFor: 'staff', request: 'open-task', evidence: expect.stringMatching(/^[\w-]{43}$/) },
  });
  expect(hallpass.logged.join()).toContain('an issuer is away');
});

test('fallback: requests cannot open it: each that fails at the issuer changes nothing', async () => {
  await lookAgain(1);
  staff.fail('status-500');
  for (let i = 0; i < 20; i++) {
    stage.runtime.jump(10_000);
    const token = await staff.sign({}, { header: { kid: `unknown-${i}` } });
    expect(reason(await hallpass.verbs.identify({ kind: 'bearer', token }, 'test'))).toBe('unauthenticated');
    expect(reason(await open())).toBe('fallback-closed');
  }
});

test('fallback: a replica that is cut off alone opens nothing while another reaches the issuer', async () => {
  const [other, cut] = await replica();
  const alone: Fallback = { ...cut, reach: async () => 'no route to it' };
  for (let i = 0; i < 2 * LOOKS; i++) {
    await lookAgain(1, alone, other);
    await look(hallpass.broker, fallback);
    expect(reason(await open())).toBe('fallback-closed');
  }
  // When the one that reaches it is gone, what is left has to look for as long as anybody.
  await lookAgain(LOOKS - 1, alone, other);
  expect(reason(await open())).toBe('fallback-closed');
  await lookAgain(1, alone, other);
  expect((await open()).ok).toBe(true);
});

test('fallback: a broker that starts within an outage has to look for as long as any', async () => {
  staff.fail('status-500');
  await lookAgain(LOOKS);
  expect((await open()).ok).toBe(true);
  stage.runtime.jump(3_600_000);
  [hallpass, fallback] = await replica();
  expect(reason(await open())).toBe('fallback-closed');
  await lookAgain(1);
  expect(reason(await open())).toBe('fallback-closed');
  await lookAgain(LOOKS - 1);
  expect((await open()).ok).toBe(true);
  expect((await kinds()).filter((kind) => kind.startsWith('fallback.'))).toEqual([
    'fallback.opened',
    'fallback.used',
    'fallback.closed',
    'fallback.opened',
    'fallback.used',
  ]);
});

test('fallback: looks at the same time write one event', async () => {
  const [other, same] = await replica();
  staff.fail('status-500');
  for (let i = 0; i < LOOKS; i++) {
    stage.runtime.jump(LOOK_EVERY_MS);
    await Promise.all([
      look(hallpass.broker, fallback),
      look(other.broker, same),
      look(hallpass.broker, fallback),
    ]);
  }
  expect((await kinds()).filter((kind) => kind === 'fallback.opened')).toHaveLength(1);
});

test('fallback: what must answer besides counts like the issuer itself', async () => {
  const login = await startIssuer({ now: stage.runtime.now });
  const probed = { ...fallback, reach: reachAll(fallback.reach, `${login.url}/jwks`, stage.runtime) };
  await lookAgain(2, probed);
  login.fail('status-500');
  await lookAgain(LOOKS - 1, probed);
  expect(reason(await open())).toBe('fallback-closed');
  await lookAgain(1, probed);
  expect((await open()).ok).toBe(true);
  const [told] = (await hallpass.events()).filter(({ kind }) => kind === 'fallback.opened');
  expect(told?.data).toMatchObject({ detail: expect.stringMatching(/jwks": the answer is HTTP 500/) });
  login.fail(null);
  await lookAgain(1, probed);
  expect(reason(await open())).toBe('fallback-closed');
  await login.close();
  await lookAgain(LOOKS, probed);
  expect((await open()).ok).toBe(true);
  expect(await probed.reach(new AbortController().signal)).toMatch(/there is no answer/);
});
