import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { createSessionVerbs, endSessions, type SessionVerbs } from '../../src/broker/session.ts';
import { rolesOf } from '../../src/grants/access.ts';
import { parsePrincipalMatcher } from '../../src/grants/principal.ts';
import type { Attestor, Principal } from '../../src/identity/attestor.ts';
import type { Json } from '../../src/json.ts';
import { sha256 } from '../../src/json.ts';
import { err, ok } from '../../src/result.ts';
import { reason, type TestBroker, value } from '../support/broker.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let stage: Stage;
let hallpass: TestBroker;
let sessions: SessionVerbs;

/** An issuer whose tokens are JSON: the principal's claims, and how it was proven. */
function issuer(name: string): Attestor {
  return {
    issuer: name,
    async attest(evidence, now) {
      if (evidence.kind !== 'bearer' || !evidence.token.startsWith(`${name}:`)) return null;
      const { sub, once, ...claims } = JSON.parse(evidence.token.slice(name.length + 1)) as Record<
        string,
        Json
      >;
      if (claims.bad) return err({ reason: 'signature', detail: 'The signature is bad' });
      const principal: Principal = {
        issuer: name,
        subject: String(sub),
        claims: claims as Principal['claims'],
        proof: {
          method: 'test',
          evidenceHash: sha256(evidence.token),
          expiresAt: now + Number(claims.lives ?? 3_600_000),
          ...(once ? { singleUse: { id: String(once), until: now + 1000 } } : {}),
        },
      };
      return ok(principal);
    },
  };
}

const SETTINGS = { issuer: 'staff', lifetimeMs: 7_200_000, idleMs: 600_000 };
const token = (claims: Record<string, Json>) => `staff:${JSON.stringify({ sub: 'ada', ...claims })}`;
let flows = 0;
const signIn = (
  claims: Record<string, Json> = {},
  flow = `flow-${flows++}`,
  replaced: string | null = null,
) => sessions.signIn(token(claims), { id: flow, until: stage.runtime.now() + 1000 }, replaced);

const platform = (issuers = new Map([['staff', {}]])) => ({
  role: 'operator' as const,
  who: parsePrincipalMatcher(
    { issuer: 'staff', claims: { groups: { contains: 'platform' } } },
    issuers,
    [],
    [],
  ),
});

beforeEach(async () => {
  stage = await createStage(store);
  hallpass = await stage.start({ attestors: [issuer('staff'), issuer('ci-jobs')], access: [platform()] });
  sessions = createSessionVerbs(hallpass.broker, SETTINGS);
});
afterEach(async () => {
  await stage.check();
  await stage.close();
});
afterAll(() => store.stop());

const lastRefusal = async () =>
  (await hallpass.events()).filter(({ kind }) => kind === 'signin.refused').at(-1)?.data;

test('signIn: the session is the principal that the attestor made, and only its hash is stored', async () => {
  const { token: given, session } = value(await signIn({ groups: ['platform'] }));
  expect(given).toMatch(/^hps_[\w-]{43}$/);
  expect(session.caller).toMatchObject({
    kind: 'principal',
    principal: { issuer: 'staff', subject: 'ada', claims: { groups: ['platform'] } },
  });
  expect(session.caller.roles).toEqual(new Set(['operator']));
  const rows = await stage.database.query<{ text: string }>(
    { name: 'test_sessions', text: 'select row_to_json(s)::text as text from session s' },
    [],
  );
  expect(rows).toHaveLength(1);
  expect(rows[0]?.text).toContain(sha256(given));
  expect(JSON.stringify([rows, await hallpass.events(), hallpass.logged])).not.toContain(given);
});

test('signIn: refuses what no attestor vouches for, and logs the true reason', async () => {
  expect(reason(await signIn({ bad: true }))).toBe('unauthenticated');
  expect(await lastRefusal()).toMatchObject({
    reason: 'unauthenticated',
    detail: 'staff: signature: The signature is bad',
    evidence: sha256(token({ bad: true })),
  });
});

test('signIn: refuses an identity of another trusted issuer', async () => {
  const flow = { id: 'f', until: stage.runtime.now() + 1000 };
  expect(reason(await sessions.signIn('ci-jobs:{"sub":"ada"}', flow, null))).toBe('unauthenticated');
});

test('signIn: refuses a token that is bound to a key, in whatever way', async () => {
  for (const cnf of [{ jkt: 'x' }, { 'x5t#S256': 'x' }, { other: 'x' }, null])
    expect(reason(await signIn({ cnf }))).toBe('unauthenticated');
});

test('signIn: a flow serves once, and so does a token that may be used once', async () => {
  value(await signIn({}, 'the-flow'));
  expect(reason(await signIn({}, 'the-flow'))).toBe('not-allowed');
  const { session } = value(await signIn({ once: 'jti-1' }));
  expect(reason(await signIn({ once: 'jti-1' }))).toBe('not-allowed');
  expect(await lastRefusal()).toMatchObject({ detail: expect.stringContaining('replayed') });
  // The session rests on that one use: its person reads and decides as often as he likes.
  expect(session.caller.principal.proof.singleUse).toBeUndefined();
});

test('signIn: bounds the sessions of one person, and of no other', async () => {
  for (let n = 0; n < 50; n++) value(await signIn());
  expect(reason(await signIn())).toBe('not-allowed');
  value(await signIn({ sub: 'grace' }));
  stage.runtime.jump(SETTINGS.idleMs);
  value(await signIn());
});

test('resume: gives the roles of now, whatever they were', async () => {
  const { token: given } = value(await signIn({ groups: ['platform'] }));
  const later = await stage.start({ attestors: [issuer('staff')], access: [] });
  const after = await createSessionVerbs(later.broker, SETTINGS).resume(given);
  expect(after?.caller.roles).toEqual(new Set());
  expect(rolesOf([platform()], after!.caller.principal)).toEqual(new Set(['operator']));
});

test('resume: an issuer at which nobody signs in any more opens nothing', async () => {
  const { token: given } = value(await signIn());
  expect(
    await createSessionVerbs(hallpass.broker, { ...SETTINGS, issuer: 'ci-jobs' }).resume(given),
  ).toBeNull();
});

test('resume: ends with the token that it began with, and that is in the log once', async () => {
  const { token: given, session } = value(await signIn({ lives: 60_000 }));
  expect(session.expiresAt).toBe(stage.runtime.now() + 60_000);
  stage.runtime.jump(59_999);
  expect(await sessions.resume(given)).not.toBeNull();
  stage.runtime.jump(1);
  expect(await Promise.all([sessions.resume(given), sessions.resume(given)])).toEqual([null, null]);
  const ended = (await hallpass.events()).filter(({ kind }) => kind === 'signin.ended');
  expect(ended).toMatchObject([{ data: { session: session.id, reason: 'expired' } }]);
});

test('resume: ends when nobody used it for so long, and goes on while somebody does', async () => {
  const { token: given } = value(await signIn());
  for (let times = 0; times < 3; times++) {
    stage.runtime.jump(SETTINGS.idleMs - 1);
    expect(await sessions.resume(given)).not.toBeNull();
  }
  stage.runtime.jump(SETTINGS.idleMs);
  expect(await sessions.resume(given)).toBeNull();
});

test('resume: takes nothing that is no token of a session', async () => {
  value(await signIn());
  for (const wrong of [
    '',
    'hps_',
    `hps_${'a'.repeat(43)}`,
    `hps_${'a'.repeat(5000)}`,
    "hps_' or 1=1",
    '\u0000',
  ])
    expect(await sessions.resume(wrong)).toBeNull();
});

test('endSessions: ends what nobody used, with its event, and leaves the others', async () => {
  const [idle, used] = [value(await signIn()), value(await signIn({ sub: 'grace' }))];
  stage.runtime.jump(SETTINGS.idleMs - 1);
  await sessions.resume(used.token);
  stage.runtime.jump(1);
  await Promise.all([endSessions(hallpass.broker, 10), endSessions(hallpass.broker, 10)]);
  const ended = (await hallpass.events()).filter(({ kind }) => kind === 'signin.ended');
  expect(ended).toMatchObject([
    { actor: { subject: 'ada' }, data: { session: idle.session.id, reason: 'idle' } },
  ]);
  expect(await sessions.resume(used.token)).not.toBeNull();
});
