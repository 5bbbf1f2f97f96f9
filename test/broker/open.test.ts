import { compactDecrypt, exportJWK, generateKeyPair } from 'jose';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Caller } from '../../src/broker/verbs.ts';
import { HallpassError, ProviderError } from '../../src/errors.ts';
import type { Json } from '../../src/json.ts';
import type { Committer } from '../../src/store/commit.ts';
import {
  asking,
  callerOf,
  REPORT_GRANT,
  reason,
  type TestBroker,
  value,
  WORKLOAD,
} from '../support/broker.ts';
import { committedRows } from '../support/commit-statement.ts';
import { drive } from '../support/drive.ts';
import { dumpAll } from '../support/invariants.ts';
import { settle, until } from '../support/runtime.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let stage: Stage;
let hallpass: TestBroker;

beforeEach(async () => {
  stage = await createStage(store);
  hallpass = await stage.start();
});
afterEach(async () => {
  await stage.check();
  await stage.close();
});
afterAll(() => store.stop());

const REPORT = REPORT_GRANT as Record<string, Json>;
const DB = (REPORT.credentials as Record<string, Json>).db as Record<string, Json>;
const ORCHESTRATOR = callerOf({ repository_id: '42' }, ['orchestrator']);

/** The workload with a token that may be used once. */
function once(id: string): Caller {
  if (WORKLOAD.kind !== 'principal') throw new Error('not a principal');
  const { principal } = WORKLOAD;
  const proof = { ...principal.proof, singleUse: { id, until: Number.MAX_SAFE_INTEGER / 2 ** 10 } };
  return { ...WORKLOAD, principal: { ...principal, proof } };
}

async function refusals(): Promise<readonly { reason: string; detail: string }[]> {
  return (await hallpass.events()).flatMap((event) =>
    event.kind === 'request.refused' ? [{ reason: event.data.reason, detail: event.data.detail }] : [],
  );
}

async function count(kind: string): Promise<number> {
  return (await hallpass.events()).filter((event) => event.kind === kind).length;
}

describe('openTask: idempotency keys', () => {
  test('openTask: fifty requests with one key at two brokers make one credential', async () => {
    const other = await stage.start();
    const answers = await drive(
      stage.runtime,
      Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          (i % 2 ? other : hallpass).verbs.openTask(WORKLOAD, asking({ idempotencyKey: 'one' })),
        ),
      ),
    );
    expect(answers.filter((answer) => answer.ok)).toHaveLength(1);
    expect(stage.warehouse.live.size).toBe(1);
    expect(stage.warehouse.minted).toHaveLength(1);
    const others = new Set(answers.flatMap((answer) => (answer.ok ? [] : [answer.error.reason])));
    expect([...others].every((why) => why === 'in-progress' || why === 'already-delivered')).toBe(true);
    expect(await refusals()).toHaveLength(49);
  });

  test('openTask: a key that served another body, or another identity, is not mixed up', async () => {
    value(await hallpass.verbs.openTask(WORKLOAD, asking({ idempotencyKey: 'k' })));
    const otherBody = asking({ idempotencyKey: 'k', parameters: { region: 'us' } });
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, otherBody))).toBe('idempotency-key-reused');
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking({ idempotencyKey: 'k' })))).toBe(
      'already-delivered',
    );
    if (WORKLOAD.kind !== 'principal') return;
    const somebody: Caller = { ...WORKLOAD, principal: { ...WORKLOAD.principal, subject: 'repo:other/etl' } };
    value(await hallpass.verbs.openTask(somebody, asking({ idempotencyKey: 'k' })));
    expect(stage.warehouse.minted).toHaveLength(2);
  });

  test('openTask: with a public key a retry is given the same token and secret again, sealed', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ECDH-ES', { extractable: true });
    const jwk = (await exportJWK(publicKey)) as Record<string, Json>;
    const ask = asking({ idempotencyKey: 'sealed', publicKey: jwk });
    const read = async (jwe: string | null) =>
      new TextDecoder().decode((await compactDecrypt(jwe ?? '', privateKey)).plaintext);
    const first = value(await hallpass.verbs.openTask(WORKLOAD, ask));
    const again = value(await hallpass.verbs.openTask(WORKLOAD, ask));
    expect([first.repeated, again.repeated]).toEqual([false, true]);
    expect([first.token, first.credentials[0]?.secret, again.token, again.credentials[0]?.secret]).toEqual([
      null,
      null,
      null,
      null,
    ]);
    const secret = JSON.parse(await read(first.credentials[0]!.sealed));
    expect(JSON.parse(await read(again.credentials[0]!.sealed))).toEqual(secret);
    expect(await read(again.sealedToken)).toBe(await read(first.sealedToken));
    expect(stage.warehouse.use(secret)).toBe(true);
    expect(stage.warehouse.minted).toHaveLength(1);
    expect(await count('lease.redelivered')).toBe(1);

    const token = await read(first.sealedToken);
    const holder = value(await hallpass.verbs.identify({ kind: 'bearer', token }, 'test'));
    value(await hallpass.verbs.completeTask(holder, first.task.id, 0));
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, ask))).toBe('task-ended');
    expect((await dumpAll(stage.database)).includes(again.credentials[0]!.sealed!)).toBe(false);
  });

  test('openTask: a retry is given what it opened, and nothing that was added to the task since', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ECDH-ES', { extractable: true });
    const ask = asking({ idempotencyKey: 'added', publicKey: (await exportJWK(publicKey)) as never });
    const first = value(await hallpass.verbs.openTask(WORKLOAD, ask));
    const { plaintext } = await compactDecrypt(first.sealedToken ?? '', privateKey);
    const token = new TextDecoder().decode(plaintext);
    const holder = value(await hallpass.verbs.identify({ kind: 'bearer', token }, 'test'));
    const more = { credentials: ['db'], ttlSeconds: null };
    value(await hallpass.verbs.addCredentials(holder, first.task.id, more));
    const again = value(await hallpass.verbs.openTask(WORKLOAD, ask));
    expect(again.credentials.map(({ lease }) => lease.id)).toEqual([first.credentials[0]!.lease.id]);
    expect(await count('lease.redelivered')).toBe(1);
  });

  test('openTask: what began to end between a retry and its answer is not given again', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ECDH-ES', { extractable: true });
    const ask = asking({ idempotencyKey: 'late', publicKey: (await exportJWK(publicKey)) as never });
    const first = value(await hallpass.verbs.openTask(WORKLOAD, ask));
    const token = new TextDecoder().decode(
      (await compactDecrypt(first.sealedToken ?? '', privateKey)).plaintext,
    );
    const holder = value(await hallpass.verbs.identify({ kind: 'bearer', token }, 'test'));
    let completed = 0;
    const late = await stage.start({
      database: {
        ...stage.database,
        async query(statement, parameters) {
          const events = committedRows<{ kind: string }>(statement.name, parameters, 'events');
          if (events.some(({ kind }) => kind === 'lease.redelivered') && completed++ === 0)
            value(await hallpass.verbs.completeTask(holder, first.task.id, 0));
          return stage.database.query(statement, parameters);
        },
      },
    });
    expect(reason(await late.verbs.openTask(WORKLOAD, ask))).toBe('in-progress');
    expect(reason(await late.verbs.openTask(WORKLOAD, ask))).toBe('task-ended');
    expect([completed, await count('lease.redelivered')]).toEqual([1, 0]);
  });

  test('openTask: a retry while the first is in flight is told so, and a silent task is not handed out again', async () => {
    let release: (() => void) | null = null;
    stage.warehouse.fault = (call, phase) =>
      call === 'mint' && phase === 'before'
        ? new Promise<void>((resolve) => {
            release = resolve;
          })
        : undefined;
    const { publicKey } = await generateKeyPair('ECDH-ES', { extractable: true });
    const silent = await stage.start({ grants: { report: { ...REPORT, heartbeat: '30s' } } });
    const ask = asking({ idempotencyKey: 'slow', publicKey: (await exportJWK(publicKey)) as never });
    const first = silent.verbs.openTask(WORKLOAD, ask);
    await until(() => release !== null, 'the mint');
    const retry = await silent.verbs.openTask(WORKLOAD, ask);
    expect(retry).toMatchObject({ ok: false, error: { reason: 'in-progress', retryAfterMs: 1_000 } });
    release!();
    value(await first);
    value(await silent.verbs.openTask(WORKLOAD, ask));
    stage.runtime.jump(30_000);
    expect(reason(await silent.verbs.openTask(WORKLOAD, ask))).toBe('task-ended');
  });
});

describe('openTask: evidence that may be used once', () => {
  test('openTask: serves one request, however many try at however many brokers', async () => {
    const other = await stage.start();
    const answers = await drive(
      stage.runtime,
      Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          (i % 2 ? other : hallpass).verbs.openTask(once('jti'), asking()),
        ),
      ),
    );
    expect(answers.filter((answer) => answer.ok)).toHaveLength(1);
    expect(stage.warehouse.minted).toHaveLength(1);
    const said = await refusals();
    expect(said).toHaveLength(19);
    expect(said.every(({ detail }) => detail.startsWith('replayed'))).toBe(true);
  });

  test('openTask: lets the retry of its own request pass, and is used up for all others by a repeat', async () => {
    const { publicKey } = await generateKeyPair('ECDH-ES', { extractable: true });
    const ask = asking({ idempotencyKey: 'k', publicKey: (await exportJWK(publicKey)) as never });
    value(await hallpass.verbs.openTask(once('a'), ask));
    expect(value(await hallpass.verbs.openTask(once('a'), ask)).repeated).toBe(true);
    expect(value(await hallpass.verbs.openTask(once('b'), ask)).repeated).toBe(true);
    // What served the repeat serves nothing else; what served something else serves no repeat.
    expect(reason(await hallpass.verbs.openTask(once('b'), asking()))).toBe('unauthenticated');
    value(await hallpass.verbs.openTask(once('c'), asking()));
    expect(reason(await hallpass.verbs.openTask(once('c'), ask))).toBe('unauthenticated');
    expect(stage.warehouse.minted).toHaveLength(2);
  });
});

describe('openTask: limits', () => {
  test('openTask: live leases stay within the limit at all brokers together, and an ended one makes room', async () => {
    const grants = { report: { ...REPORT, limits: { live_leases: 5 } } };
    const brokers = [await stage.start({ grants }), await stage.start({ grants })];
    const answers = await drive(
      stage.runtime,
      Promise.all(Array.from({ length: 16 }, (_, i) => brokers[i % 2]!.verbs.openTask(WORKLOAD, asking()))),
    );
    const opened = answers.flatMap((answer) => (answer.ok ? [answer.value] : []));
    expect(opened).toHaveLength(5);
    expect(stage.warehouse.live.size).toBe(5);
    expect(await count('task.opened')).toBe(5);
    const holder = value(await hallpass.verbs.identify({ kind: 'bearer', token: opened[0]!.token! }, 'test'));
    value(await brokers[1]!.verbs.completeTask(holder, opened[0]!.task.id, 0));
    value(await brokers[0]!.verbs.openTask(WORKLOAD, asking()));
    expect(reason(await brokers[0]!.verbs.openTask(WORKLOAD, asking()))).toBe('limit-reached');
  });

  test('openTask: issues an hour are counted even where the target refused to mint', async () => {
    const limited = await stage.start({ grants: { report: { ...REPORT, limits: { issues_per_hour: 3 } } } });
    stage.warehouse.fault = (call, phase) => {
      if (call === 'mint' && phase === 'before') throw new ProviderError('target-refused', 'no such role');
    };
    for (let i = 0; i < 3; i++)
      expect(reason(await limited.verbs.openTask(WORKLOAD, asking()))).toBe('mint-failed');
    expect(reason(await limited.verbs.openTask(WORKLOAD, asking()))).toBe('limit-reached');
    stage.runtime.jump(2 * 3_600_000);
    expect(reason(await limited.verbs.openTask(WORKLOAD, asking()))).toBe('mint-failed');
  });
});

describe('openTask: several credentials', () => {
  const grants = {
    report: { ...REPORT, credentials: { db: DB, cache: { ...DB, target: 'cache' } } },
  };

  test('openTask: where one fails all are ended and none is returned', async () => {
    const both = await stage.start({ grants });
    stage.cache.fault = (call, phase) => {
      if (call === 'mint' && phase === 'before') throw new ProviderError('target-refused', 'no such role');
    };
    expect(reason(await both.verbs.openTask(WORKLOAD, asking()))).toBe('mint-failed');
    expect(stage.warehouse.minted).toHaveLength(1);
    expect(stage.warehouse.live.size).toBe(0);
    const outcomes = (await both.events()).flatMap((event) =>
      event.kind === 'lease.ended' ? [event.data.outcome] : [],
    );
    expect(outcomes.sort()).toEqual(['never-minted', 'revoked']);
    expect((await refusals()).map((refusal) => refusal.reason)).toEqual(['mint-failed']);
  });

  test('openTask: a store that does not take the activation of one: the secret never leaves, and all are ended', async () => {
    const both = await stage.start({ grants });
    const { commit } = both.broker.committer;
    let activations = 0;
    const failing: Pick<Committer, 'commit'> = {
      commit(unit) {
        const activates = unit.changedLeases?.some((lease) => lease.state === 'active');
        if (activates && ++activations === 2)
          return Promise.reject(new HallpassError('store-unavailable', 'The store is away'));
        return commit(unit);
      },
    };
    Object.assign(both.broker.committer, failing);
    await expect(both.verbs.openTask(WORKLOAD, asking())).rejects.toMatchObject({
      code: 'store-unavailable',
    });
    expect(activations).toBe(2);
    // What was active was ended at once; what was not may still come, and is ended after its window.
    expect(stage.warehouse.live.size + stage.cache.live.size).toBe(1);
    stage.runtime.jump(20_000);
    await both.reap();
    expect(stage.warehouse.live.size + stage.cache.live.size).toBe(0);
  });

  test('openTask: a broker that died before all were made: the rest ends with it, since nobody was given any', async () => {
    const dying = await stage.start({ grants });
    stage.cache.fault = (call) => (call === 'mint' ? new Promise<void>(() => {}) : undefined);
    void dying.verbs.openTask(WORKLOAD, asking()).catch(() => {});
    await until(() => stage.warehouse.live.size === 1);
    const next = await stage.start({ grants });
    stage.runtime.jump(20_000);
    await next.reap();
    expect(stage.warehouse.live.size).toBe(0);
    const ended = (await next.events()).filter((event) => event.kind === 'task.ended');
    expect(ended).toMatchObject([{ data: { reason: 'abandoned' } }]);
  });
});

describe('task grants', () => {
  const grants = { report: { ...REPORT, task_grants: { max_age: '1h', max_uses: 10 } } };
  const wish = {
    grant: 'report',
    task: 'nightly',
    parameters: { region: 'us' },
    credentials: null,
    maxTtlSeconds: 60,
    subject: null,
    expiresInSeconds: 600,
    uses: 3,
  };

  test('openTask: a task grant binds parameters and lifetime, and is used as often as it says at all brokers together', async () => {
    const brokers = [await stage.start({ grants }), await stage.start({ grants })];
    const { id } = value(await brokers[0]!.verbs.createTaskGrant(ORCHESTRATOR, wish));
    const wider = asking({ taskGrant: id, parameters: { region: 'eu' } });
    expect(reason(await brokers[0]!.verbs.openTask(WORKLOAD, wider))).toBe('not-allowed');
    expect(
      reason(await brokers[0]!.verbs.openTask(WORKLOAD, asking({ taskGrant: id, ttlSeconds: 61 }))),
    ).toBe('not-allowed');
    const answers = await drive(
      stage.runtime,
      Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          brokers[i % 2]!.verbs.openTask(WORKLOAD, asking({ taskGrant: id })),
        ),
      ),
    );
    const opened = answers.flatMap((answer) => (answer.ok ? [answer.value] : []));
    expect(opened).toHaveLength(3);
    expect(opened[0]!.task.parameters).toEqual({ region: 'us' });
    expect(opened[0]!.credentials[0]!.lease.expiresAt - opened[0]!.task.openedAt).toBe(60_000);
    expect(value(await brokers[1]!.verbs.readTaskGrant(ORCHESTRATOR, id)).used).toBe(3);
  });

  test('openTask: a task grant whose cut cannot be read opens nothing', async () => {
    const broker = await stage.start({ grants });
    const { id } = value(await broker.verbs.createTaskGrant(ORCHESTRATOR, wish));
    for (const damaged of ['null', '{}', '{"task": "nightly"}', '[]']) {
      await stage.database.script(`update task_grant set cut = '${damaged}'`);
      const answer = await broker.verbs.openTask(WORKLOAD, asking({ taskGrant: id }));
      expect(reason(answer), damaged).toBe('not-allowed');
    }
    expect(stage.warehouse.minted).toHaveLength(0);
  });

  test('openTask: a task grant ends at its expiry, and by a grant that has since become narrower', async () => {
    const broker = await stage.start({ grants });
    const { id } = value(await broker.verbs.createTaskGrant(ORCHESTRATOR, wish));
    value(await broker.verbs.openTask(WORKLOAD, asking({ taskGrant: id })));
    const narrower = await stage.start({
      grants: { report: { ...grants.report, parameters: { region: { type: 'string', enum: ['eu'] } } } },
    });
    expect(reason(await narrower.verbs.openTask(WORKLOAD, asking({ taskGrant: id })))).toBe('not-allowed');
    const foreign = await stage.start({ grants: { ...grants, other: grants.report } });
    expect(reason(await foreign.verbs.openTask(WORKLOAD, asking({ grant: 'other', taskGrant: id })))).toBe(
      'not-allowed',
    );
    stage.runtime.jump(600_000);
    expect(reason(await broker.verbs.openTask(WORKLOAD, asking({ taskGrant: id })))).toBe('not-allowed');
    expect(reason(await broker.verbs.createTaskGrant(WORKLOAD, wish))).toBe('not-allowed');
    expect((await refusals()).map((refusal) => refusal.detail)).toEqual([
      expect.stringContaining('region'),
      'task-grant: there is none for this grant',
      'task-grant: it has expired',
      'It takes the role orchestrator',
    ]);
  });
});

describe('addCredentials', () => {
  test('addCredentials: gives more, and where the target fails the task keeps what it had', async () => {
    const { holder, taskId, leaseId } = await stage.open(hallpass);
    const ask = { credentials: ['db'], ttlSeconds: 60 };
    const added = value(await hallpass.verbs.addCredentials(holder, taskId, ask));
    expect(stage.warehouse.use(added.credentials[0]!.secret!)).toBe(true);
    stage.warehouse.fault = (call, phase) => {
      if (call === 'mint' && phase === 'after') throw new ProviderError('target-failed', 'out of memory');
    };
    const { task } = value(await hallpass.verbs.readTask(holder, taskId));
    expect(reason(await hallpass.verbs.addCredentials({ kind: 'task', task, leases: [] }, taskId, ask))).toBe(
      'mint-failed',
    );
    expect(await stage.lease(leaseId)).toMatchObject({ state: 'active' });
    stage.runtime.jump(20_000);
    await hallpass.reap();
    expect(stage.warehouse.live.size).toBe(2);
    expect(value(await hallpass.verbs.readTask(holder, taskId)).task.state).toBe('open');
  });

  test('addCredentials: refused to a foreign token, an ended task, and one with too little time left', async () => {
    const one = await stage.open(hallpass);
    const two = await stage.open(hallpass);
    const ask = { credentials: ['db'], ttlSeconds: null };
    expect(reason(await hallpass.verbs.addCredentials(one.holder, two.taskId, ask))).toBe('not-found');
    expect(reason(await hallpass.verbs.addCredentials(WORKLOAD, two.taskId, ask))).toBe('not-found');
    stage.runtime.jump(4 * 3_600_000 - 500);
    expect(reason(await hallpass.verbs.addCredentials(two.holder, two.taskId, ask))).toBe('task-ended');
    await hallpass.reap();
    stage.runtime.jump(500);
    expect(reason(await hallpass.verbs.addCredentials(two.holder, two.taskId, ask))).toBe('task-ended');
  });

  test('addCredentials: racing with complete, either comes first and nothing lives on', async () => {
    for (let round = 0; round < 10; round++) {
      const { holder, taskId } = await stage.open(hallpass);
      const other = await stage.start();
      const [added] = await drive(
        stage.runtime,
        Promise.all([
          hallpass.verbs.addCredentials(holder, taskId, { credentials: ['db'], ttlSeconds: null }),
          (round % 2 ? other : hallpass).verbs.completeTask(holder, taskId, 0),
        ]),
      );
      if (!added.ok) expect(['in-progress', 'task-ended', 'mint-failed']).toContain(added.error.reason);
      stage.runtime.jump(20_000);
      await hallpass.reap();
      expect(stage.warehouse.live.size).toBe(0);
    }
  });
});

describe('openTask: refused before intent', () => {
  test('openTask: sheds when a target has no room, with no lease and nothing at the target', async () => {
    const small = await stage.start({ limits: { mintConcurrency: 1, mintQueue: 1 } });
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    stage.warehouse.fault = (call, phase) => (call === 'mint' && phase === 'before' ? gate : undefined);
    const first = [1, 2].map(() => small.verbs.openTask(WORKLOAD, asking()));
    const lane = small.broker.targets.get('warehouse')!.minting;
    await until(() => lane.refusal(stage.runtime.now())?.why === 'full');
    const shed = await small.verbs.openTask(WORKLOAD, asking());
    expect(shed).toMatchObject({ ok: false, error: { reason: 'overloaded', retryAfterMs: 1_000 } });
    expect(await count('lease.intended')).toBe(2);
    release();
    for (const answer of await Promise.all(first)) value(answer);
  });

  test('openTask: sheds without a trace when the store is overrun, and what ends still finds room', async () => {
    const { holder, taskId } = await stage.open(hallpass);
    const events = await hallpass.events();
    const { committer } = hallpass.broker;
    const { query } = stage.database;
    let flow = () => {};
    const stalled = new Promise<void>((resolve) => {
      flow = resolve;
    });
    Object.assign(stage.database, {
      query: (...parameters: Parameters<typeof query>) => stalled.then(() => query(...parameters)),
    });
    const code = (error: unknown) => (error instanceof HallpassError ? error.code : String(error));
    const flood = (length: number) =>
      Array.from({ length }, () => committer.commit({ events: [] }).then(() => 'done', code));
    const first = flood(256);
    await settle();
    const rest = flood(5_000);
    await expect(hallpass.verbs.openTask(WORKLOAD, asking())).rejects.toMatchObject({ code: 'overloaded' });
    const complete = hallpass.verbs.completeTask(holder, taskId, 0);
    await until(() => committer.pending > 4_096);
    flow();
    expect(value(await complete).leases).toMatchObject([{ state: 'ended' }]);
    const answers = await Promise.all([...first, ...rest]);
    expect(answers.filter((answer) => answer === 'overloaded')).toHaveLength(904);
    expect(await hallpass.events()).toHaveLength(events.length + 3);
  });

  test('openTask: an open breaker refuses, and after its time lets one attempt through', async () => {
    stage.warehouse.fault = (call, phase) => {
      if (call === 'mint' && phase === 'before') throw new ProviderError('target-unreachable', 'gone');
    };
    for (let i = 0; i < 5; i++)
      expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('mint-failed');
    const intents = await count('lease.intended');
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('target-unavailable');
    // A clock that is set back must not keep it shut.
    stage.runtime.jump(-3_600_000);
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, asking()))).toBe('target-unavailable');
    expect(await count('lease.intended')).toBe(intents);
    stage.runtime.jump(5_000);
    stage.warehouse.fault = () => {};
    value(await hallpass.verbs.openTask(WORKLOAD, asking()));
  });

  test('openTask: unknown grants, strangers and holders of a task are refused, each with its true reason in the log', async () => {
    const { holder } = await stage.open(hallpass);
    const ask = (over = {}) => asking(over);
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, ask({ grant: 'none' })))).toBe('not-allowed');
    expect(reason(await hallpass.verbs.openTask(callerOf({ repository_id: '43' }), ask()))).toBe(
      'not-allowed',
    );
    expect(reason(await hallpass.verbs.openTask(holder, ask()))).toBe('not-allowed');
    expect(reason(await hallpass.verbs.openTask(WORKLOAD, ask({ publicKey: { kty: 'oct', k: 'x' } })))).toBe(
      'invalid-request',
    );
    const said = await refusals();
    expect(said.map(({ reason: why }) => why)).toEqual([
      'not-allowed',
      'not-allowed',
      'not-allowed',
      'invalid-request',
    ]);
    expect(said[0]!.detail).toContain('there is no grant "none"');
    expect(said[1]!.detail).toContain('principal');
  });

  test('openTask: text that cannot be stored is refused clearly, and harms no neighbour', async () => {
    const bad = [
      asking({ purpose: 'a\0b' }),
      asking({ purpose: 'half \ud83d' }),
      asking({ grant: 'report\0' }),
      asking({ parameters: { '\0': 1 } }),
    ];
    const answers = await Promise.all([
      hallpass.verbs.openTask(WORKLOAD, asking({ purpose: 'whole \u{1f600}' })),
      ...bad.map((ask) => hallpass.verbs.openTask(WORKLOAD, ask)),
      hallpass.verbs.readTask(WORKLOAD, 'no\0id'),
    ]);
    expect(answers.map((answer) => (answer.ok ? 'ok' : answer.error.reason))).toEqual([
      'ok',
      ...Array(5).fill('invalid-request'),
    ]);
    expect(await refusals()).toHaveLength(5);
  });
});
