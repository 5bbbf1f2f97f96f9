import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Caller, Presented } from '../../src/broker/verbs.ts';
import type { Attestor, Principal } from '../../src/identity/attestor.ts';
import { type Json, sha256 } from '../../src/json.ts';
import { ok } from '../../src/result.ts';
import type { Database } from '../../src/store/database.ts';
import { fakeProvider, type MemoryWorld } from '../fakes/provider.ts';
import {
  asking,
  createTestBroker,
  REPORT_GRANT,
  reason,
  TEST_URL,
  type TestBroker,
  value,
} from '../support/broker.ts';
import { createProver, type Prover } from '../support/dpop.ts';
import { createTestRuntime, type TestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
const mine = await createProver();
const other = await createProver();
let database: Database;
let runtime: TestRuntime;
let world: MemoryWorld;
let hallpass: TestBroker;

beforeEach(async () => {
  database = await store.open();
  runtime = createTestRuntime();
  world = fakeProvider({ now: runtime.now });
  hallpass = await start();
});
afterEach(() => database.close());
afterAll(() => store.stop());

/** Vouches for everybody: the evidence is the claims. A certificate's thumbprint is what it binds to. */
const trusting: Attestor = {
  issuer: 'ci',
  async attest(evidence) {
    const token = evidence.kind === 'bearer' ? evidence.token : '';
    if (!token.startsWith('{')) return null;
    const { thumbprint, ...claims } = JSON.parse(token) as Record<string, Json>;
    const principal: Principal = {
      issuer: 'ci',
      subject: `${claims.sub}`,
      claims,
      proof: {
        method: 'test',
        evidenceHash: sha256(token),
        expiresAt: Number.MAX_SAFE_INTEGER,
        ...(claims.jti === undefined
          ? {}
          : { singleUse: { id: `ci:${claims.jti}`, until: runtime.now() + 1e6 } }),
        ...(typeof thumbprint === 'string' && { boundTo: { 'x5t#S256': thumbprint } }),
      },
    };
    return ok(principal);
  },
};

function start(): Promise<TestBroker> {
  const who = [
    { issuer: 'ci', claims: { repository_id: '42' } },
    { issuer: 'ci', claims: { repository_id: '42' }, actor: { issuer: 'ci', claims: { sub: 'agent' } } },
  ];
  const grant = { ...(REPORT_GRANT as { readonly [key: string]: Json }), who };
  return createTestBroker({
    database,
    runtime,
    worlds: { warehouse: world },
    attestors: [trusting],
    grants: { report: grant },
    access: [{ role: 'operator', who: { issuer: 'ci', claims: [] } }],
  });
}

const claims = (over: object = {}) => JSON.stringify({ sub: 'job', repository_id: '42', ...over });
const bearer = (token: string) => ({ kind: 'bearer', token }) as const;

async function presenting(
  prover: Prover | null,
  token: string,
  over: Partial<Presented> = {},
  path = '/v1/tasks',
): Promise<Presented> {
  const jwt = await prover?.prove({ url: `${TEST_URL}${path}`, token, now: runtime.now() });
  const proof = jwt === undefined ? null : { jwt, method: 'POST', path };
  return {
    scheme: token.startsWith('hpt_') && prover ? 'DPoP' : 'Bearer',
    proof,
    certificate: null,
    ...over,
  };
}

async function identify(token: string, presented?: Presented, broker = hallpass) {
  return broker.verbs.identify(bearer(token), 'test', presented);
}

/** A task that `mine` opened, with its token. */
async function openBound(over: Parameters<typeof asking>[0] = {}): Promise<string> {
  const evidence = claims();
  const caller = value(await identify(evidence, await presenting(mine, evidence)));
  return value(await hallpass.verbs.openTask(caller, asking(over))).token ?? '';
}

describe('a task token that is bound to a key', () => {
  test('is good with a proof by that key, and with nothing else', async () => {
    const token = await openBound();
    const caller = value(await identify(token, await presenting(mine, token)));
    expect(caller).toMatchObject({ kind: 'task', task: { cnf: { jkt: mine.jkt } } });
    expect(reason(await identify(token))).toBe('bad-proof');
    expect(reason(await identify(token, await presenting(other, token)))).toBe('bad-proof');
    expect(reason(await identify(token, await presenting(mine, `${token}x`)))).toBe('bad-proof');
    expect(reason(await identify(token, await presenting(mine, token, { scheme: 'Bearer' })))).toBe(
      'bad-proof',
    );
    expect(reason(await identify(token, await presenting(null, token, { scheme: 'DPoP' })))).toBe(
      'bad-proof',
    );
    const refusals = (await hallpass.events()).filter((event) => event.kind === 'request.refused');
    expect(refusals).toHaveLength(5);
    expect(JSON.stringify(refusals)).not.toContain(token);
  });

  test('takes each proof once, whichever replica sees it', async () => {
    const token = await openBound();
    const presented = await presenting(mine, token);
    const replica = await start();
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) => identify(token, presented, i % 2 === 0 ? hallpass : replica)),
    );
    expect(answers.filter((answer) => answer.ok)).toHaveLength(1);
    expect(reason(await identify(token, presented, replica))).toBe('bad-proof');
  });

  test('a nonce of one replica is good at another', async () => {
    const token = await openBound();
    runtime.jump(600_000);
    const old = { url: `${TEST_URL}/v1/tasks`, token, now: runtime.now() - 500_000 };
    const present = (jwt: string): Presented => ({
      scheme: 'DPoP',
      proof: { jwt, method: 'POST', path: '/v1/tasks' },
      certificate: null,
    });
    const stale = await identify(token, present(await mine.prove(old)));
    const nonce = !stale.ok && stale.error.reason === 'bad-proof' ? stale.error.nonce : null;
    expect(nonce).not.toBeNull();
    const proof = await mine.prove(old, { claims: { nonce } });
    expect((await identify(token, present(proof), await start())).ok).toBe(true);
  });
});

test('openTask: a proof is used up by the task that it opened', async () => {
  const evidence = claims();
  const caller = value(await identify(evidence, await presenting(mine, evidence)));
  value(await hallpass.verbs.openTask(caller, asking()));
  expect(reason(await hallpass.verbs.openTask(caller, asking()))).toBe('unauthenticated');
});

test('openTask: a repeat with another key, or with none, is another request', async () => {
  const { jwk } = other;
  const over = {
    idempotencyKey: 'run-1',
    publicKey: { kty: 'EC', crv: 'P-256', x: jwk.x ?? '', y: jwk.y ?? '' },
  };
  await openBound(over);
  const evidence = claims();
  for (const prover of [other, null]) {
    const caller = value(await identify(evidence, await presenting(prover, evidence)));
    expect(reason(await hallpass.verbs.openTask(caller, asking(over)))).toBe('idempotency-key-reused');
  }
  const again = value(await identify(evidence, await presenting(mine, evidence)));
  expect(value(await hallpass.verbs.openTask(again, asking(over))).repeated).toBe(true);
});

test('identify: a bad proof is refused even where nothing asks for one', async () => {
  const evidence = claims();
  const presented = await presenting(mine, 'another token');
  expect(reason(await identify(evidence, presented))).toBe('bad-proof');
  expect(reason(await identify(evidence, await presenting(null, evidence, { scheme: 'DPoP' })))).toBe(
    'bad-proof',
  );
});

test('identify: an identity token that is bound itself takes the proof that its issuer meant', async () => {
  const evidence = claims({ cnf: { jkt: mine.jkt } });
  expect(reason(await identify(evidence))).toBe('bad-proof');
  expect(reason(await identify(evidence, await presenting(mine, evidence)))).toBe('bad-proof');
  expect(reason(await identify(evidence, await presenting(other, evidence, { scheme: 'DPoP' })))).toBe(
    'bad-proof',
  );
  expect((await identify(evidence, await presenting(mine, evidence, { scheme: 'DPoP' }))).ok).toBe(true);
  for (const cnf of [{ kid: 'x' }, { jwk: {} }, {}, 'x', null, { jkt: mine.jkt, kid: 'x' }])
    expect(reason(await identify(claims({ cnf })))).toBe('unauthenticated');
});

test('a client certificate that was the evidence binds the task; one that is merely there does not', async () => {
  const open = async (evidence: string, certificate: string) => {
    const presented = { scheme: 'Bearer', proof: null, certificate } as const;
    const caller = value(await identify(evidence, presented));
    return value(await hallpass.verbs.openTask(caller, asking())).token ?? '';
  };
  const bound = await open(claims({ thumbprint: 'A' }), 'A');
  const presented = (certificate: string | null) => ({ scheme: 'Bearer', proof: null, certificate }) as const;
  expect((await identify(bound, presented('A'))).ok).toBe(true);
  expect(reason(await identify(bound, presented('B')))).toBe('bad-proof');
  expect(reason(await identify(bound))).toBe('bad-proof');
  const free = await open(claims(), 'A');
  expect((await identify(free)).ok).toBe(true);
});

describe('an actor', () => {
  const job = async () => value(await identify(claims())) as Caller;
  const agent = (over: object = {}) => bearer(claims({ sub: 'agent', repository_id: undefined, ...over }));

  test('stays with the task: what is added later is decided for both, and the log names both', async () => {
    const opened = value(await hallpass.verbs.openTask(await job(), asking({ actor: agent() })));
    expect(opened.task.principal.actors).toMatchObject([{ issuer: 'ci', subject: 'agent' }]);
    const holder = value(await identify(opened.token ?? ''));
    value(
      await hallpass.verbs.addCredentials(holder, opened.task.id, { credentials: ['db'], ttlSeconds: null }),
    );
    const extended = (await hallpass.events()).find((event) => event.kind === 'task.extended');
    expect(extended?.actor).toEqual({
      kind: 'principal',
      issuer: 'ci',
      subject: 'job',
      actors: [{ issuer: 'ci', subject: 'agent' }],
    });
    // The grant no longer lets anybody act: nothing more is given.
    const narrow = await createTestBroker({
      database,
      runtime,
      worlds: { warehouse: world },
      attestors: [trusting],
    });
    const add = narrow.verbs.addCredentials(holder, opened.task.id, {
      credentials: ['db'],
      ttlSeconds: null,
    });
    expect(reason(await add)).toBe('not-allowed');
  });

  test('cannot be used twice, nor be replaced behind an idempotency key', async () => {
    const once = agent({ jti: 'one' });
    value(await hallpass.verbs.openTask(await job(), asking({ actor: once })));
    expect(reason(await hallpass.verbs.openTask(await job(), asking({ actor: once })))).toBe(
      'unauthenticated',
    );
    const { jwk } = other;
    const over = {
      idempotencyKey: 'k',
      publicKey: { kty: 'EC', crv: 'P-256', x: jwk.x ?? '', y: jwk.y ?? '' },
    };
    const first = value(await hallpass.verbs.openTask(await job(), asking({ ...over, actor: agent() })));
    const alone = value(await hallpass.verbs.openTask(await job(), asking(over)));
    expect(alone.task.id).not.toBe(first.task.id);
    const again = value(
      await hallpass.verbs.openTask(await job(), asking({ ...over, actor: agent({ n: 2 }) })),
    );
    expect(again.task.id).toBe(first.task.id);
  });

  test('loses the roles that the subject has alone', async () => {
    const operator = claims({ sub: 'mona' });
    const delegated = claims({ sub: 'mona', act: { sub: 'agent' } });
    const roles = async (token: string) => {
      const caller = value(await identify(token));
      return caller.kind === 'principal' ? [...caller.roles] : [];
    };
    expect(await roles(operator)).toEqual(['operator']);
    expect(await roles(delegated)).toEqual([]);
  });

  test('whom a kill keeps out opens nothing for another, and gets nothing more by what he opened', async () => {
    const opened = value(await hallpass.verbs.openTask(await job(), asking({ actor: agent() })));
    const holder = value(await identify(opened.token ?? ''));
    const operator = value(await identify(claims({ sub: 'mona' })));
    const match = { issuer: 'ci', subject: 'agent', grant: null, target: null, task: null, all: false };
    const { kill } = value(await hallpass.verbs.kill(operator, { ...match, reason: 'it was stolen' }));
    const blocked = { ok: false, error: { detail: expect.stringMatching(/^block:/) } };
    const { openTask, addCredentials, renewLease } = hallpass.verbs;
    const more = { credentials: ['db'], ttlSeconds: null };
    const leaseId = opened.credentials[0]!.lease.id;
    expect(await openTask(await job(), asking({ actor: agent() }))).toMatchObject(blocked);
    expect(await addCredentials(holder, opened.task.id, more)).toMatchObject(blocked);
    expect(reason(await renewLease(holder, leaseId, 1800))).toBe('task-ended');
    expect(world.minted).toHaveLength(1);
    // It is about him: whom he acted for goes on alone.
    value(await openTask(await job(), asking()));
    value(await hallpass.verbs.liftBlock(operator, kill.id, 'it was found'));
    value(await openTask(await job(), asking({ actor: agent() })));
  });

  test('that is itself bound to a key is refused: nothing here could prove it', async () => {
    const bound = agent({ cnf: { jkt: mine.jkt } });
    expect(reason(await hallpass.verbs.openTask(await job(), asking({ actor: bound })))).toBe(
      'unauthenticated',
    );
  });

  test('explain: shows who acts, from tokens and as described', async () => {
    const operator = value(await identify(claims({ sub: 'mona' })));
    const ask = {
      grant: 'report',
      identity: null,
      token: claims(),
      task: 'nightly',
      purpose: null,
      ticket: null,
      parameters: {},
      credentials: null,
      ttlSeconds: null,
    };
    const explain = async (over: object) =>
      value(await hallpass.verbs.explain(operator, { ...ask, ...over }));
    const { token: actorToken } = agent();
    expect(await explain({ actorToken })).toMatchObject({
      identity: { subject: 'job', actors: [{ subject: 'agent' }] },
      grants: [{ allowed: true }],
    });
    const stranger = await explain({ actorToken: agent({ sub: 'stranger' }).token });
    expect(stranger.grants[0]?.allowed).toBe(false);
    expect(stranger.grants[0]?.checks).toContainEqual(
      expect.objectContaining({ subject: 'who[1].actor.claims.sub', ok: false, actual: '"stranger"' }),
    );
    expect(await explain({ actorToken: 'x' })).toMatchObject({ token: { ok: false }, grants: [] });
    const actors = [{ issuer: 'ci', subject: 'agent', claims: { sub: 'agent' } }];
    const identity = { issuer: 'ci', subject: 'job', claims: { repository_id: '42' }, actors };
    expect(await explain({ token: null, identity })).toMatchObject({ grants: [{ allowed: true }] });
  });
});
