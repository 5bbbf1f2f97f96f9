import { describe, expect, it } from 'vitest';
import type { Refusal } from '../../src/broker/refusal.ts';
import { HallpassError } from '../../src/errors.ts';
import * as contract from '../../src/http/contract.ts';
import { PROBLEMS } from '../../src/http/wire.ts';
import { fakeBorder, get, post } from '../fakes/border.ts';

const ID = '01hzzzzzzzzzzzzzzzzzzzzzzz';
const open = { grant: 'reports', task: 'nightly-1' };

describe('createApp: every verb answers what the contract says', () => {
  it('opens, reads, adds, beats, renews, revokes and completes', async () => {
    const { app, verbs } = fakeBorder({ heartbeatSeconds: 60 });
    const token = verbs.admit('job');
    const opened = await app.request('/v1/tasks', post(open, token));
    expect(opened.status).toBe(201);
    const made = contract.openTaskResponse.strict().parse(await opened.json());
    const { id } = made.task;
    const key = made.token ?? '';
    const lease = made.credentials[0]!.lease;

    const added = await app.request(`/v1/tasks/${id}/credentials`, post({ credentials: ['lake'] }, key));
    expect(added.status).toBe(201);
    contract.addCredentialsResponse.strict().parse(await added.json());
    const read = await app.request(`/v1/tasks/${id}`, get(key));
    expect(contract.taskWithLeases.strict().parse(await read.json()).leases).toHaveLength(2);
    const beat = await app.request(`/v1/tasks/${id}/heartbeat`, { method: 'POST', ...get(key) });
    expect(contract.heartbeatResponse.parse(await beat.json()).task.heartbeat_seconds).toBe(60);
    const renewed = await app.request(`/v1/leases/${lease.id}/renew`, post({ ttl_seconds: 60 }, key));
    contract.leaseResponse.parse(await renewed.json());
    const revoked = await app.request(`/v1/leases/${lease.id}/revoke`, post({ reason: 'x' }, key));
    expect(contract.leaseResponse.parse(await revoked.json()).lease.outcome).toBe('revoked');
    const done = await app.request(`/v1/tasks/${id}/complete`, post({ exit_status: 3 }, key));
    expect(contract.taskWithLeases.parse(await done.json()).task.exit_status).toBe(3);
  });

  it('lists, explains, cuts task grants and reads the log', async () => {
    const { app, verbs } = fakeBorder();
    const token = verbs.admit('job');
    await app.request('/v1/tasks', post(open, token));
    const tasks = await app.request('/v1/tasks?state=open&limit=5', get(token));
    expect(contract.taskPage.parse(await tasks.json()).tasks).toHaveLength(1);
    const leases = await app.request('/v1/leases?live=false&overdue=true&cursor=abc', get(token));
    contract.leasePage.parse(await leases.json());
    expect(verbs.calls.at(-1)?.args.slice(1)).toEqual([
      { live: false, overdue: true },
      { cursor: 'abc', limit: 100 },
    ]);
    const lease = [...verbs.leases.values()][0]!;
    contract.leaseResponse.parse(await (await app.request(`/v1/leases/${lease.id}`, get(token))).json());
    contract.availableGrants.parse(await (await app.request('/v1/grants', get(token))).json());
    const explained = await app.request('/v1/explain', post({ grant: 'reports', task: 'x' }, token));
    contract.explanation.parse(await explained.json());
    const cut = { grant: 'reports', task: 'nightly-2', expires_in_seconds: 60, uses: 1 };
    const made = await app.request('/v1/task-grants', post(cut, token));
    expect(made.status).toBe(201);
    const { task_grant } = contract.taskGrantResponse.parse(await made.json());
    const same = await app.request(`/v1/task-grants/${task_grant.id}`, get(token));
    expect(contract.taskGrantResponse.parse(await same.json()).task_grant).toEqual(task_grant);
    const since = '2030-01-01T00:00:00.000Z';
    const audit = await app.request(`/v1/audit?since=${since}&order=oldest`, get(token));
    contract.auditPage.parse(await audit.json());
    expect(verbs.calls.at(-1)?.args[1]).toEqual({ since: Date.parse(since), order: 'oldest' });
  });

  it('answers 200 to a repeated idempotency key, and passes it on', async () => {
    const { app, verbs } = fakeBorder();
    const request = post(open, verbs.admit('job'), { 'idempotency-key': 'run-7' });
    expect((await app.request('/v1/tasks', request)).status).toBe(201);
    expect((await app.request('/v1/tasks', request)).status).toBe(200);
    expect(verbs.leases.size).toBe(1);
  });

  it('says no-store, nosniff and the id of the request on every answer', async () => {
    const { app, verbs } = fakeBorder();
    const token = verbs.admit('job');
    for (const [path, init] of [
      ['/v1/grants', get(token)],
      ['/v1/grants', {}],
      ['/v1/tasks', post('{', token)],
      ['/nowhere', {}],
    ] as const) {
      const answer = await app.request(path, init);
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
      expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-z]{26}-[0-9a-z]+$/);
    }
  });
});

describe('createApp: authentication', () => {
  it.each([
    ['no header', {}],
    ['another scheme', { authorization: 'Basic abc' }],
    ['no token', { authorization: 'Bearer ' }],
    ['two tokens', { authorization: 'Bearer a b' }],
    ['characters that no token has', { authorization: 'Bearer a,b' }],
    ['an unknown token', { authorization: 'Bearer abc' }],
  ])('refuses %s with one and the same answer', async (_, headers) => {
    const { app } = fakeBorder();
    const answer = await app.request('/v1/grants', { headers });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    const { request_id, ...body } = contract.problem.parse(await answer.json());
    expect(body).toEqual({
      type: '/docs#problem-unauthenticated',
      title: 'The caller is not known',
      status: 401,
      detail: 'The bearer token is missing or not accepted',
      code: 'unauthenticated',
    });
  });

  it('is asked before the body is read: a stranger learns nothing of the schema', async () => {
    const { app } = fakeBorder();
    expect((await app.request('/v1/tasks', post('{"x":', 'abc'))).status).toBe(401);
  });

  it('names the operation, so that the log can', async () => {
    const { app, verbs } = fakeBorder();
    await app.request('/v1/grants', get(verbs.admit('job')));
    expect(verbs.calls[0]?.args[1]).toBe('availableGrants');
  });
});

describe('createApp: refusals', () => {
  const secretDetail = 'claim repository_id: 7 is not 8';
  const refusals: Refusal[] = [
    { reason: 'unauthenticated', detail: secretDetail },
    { reason: 'not-allowed', detail: secretDetail },
    { reason: 'not-found', detail: secretDetail },
    { reason: 'invalid-request', detail: 'parameter region: write one of eu, us' },
    { reason: 'in-progress', detail: secretDetail, retryAfterMs: 1500 },
    { reason: 'already-delivered', detail: secretDetail },
    { reason: 'idempotency-key-reused', detail: secretDetail },
    { reason: 'task-ended', detail: secretDetail },
    { reason: 'lease-ended', detail: secretDetail },
    { reason: 'cannot-renew', detail: 'at its cap' },
    { reason: 'limit-reached', detail: secretDetail, retryAfterMs: 1 },
    { reason: 'overloaded', detail: secretDetail, retryAfterMs: 1000 },
    { reason: 'target-unavailable', detail: secretDetail, retryAfterMs: 30_000 },
    { reason: 'mint-failed', detail: secretDetail },
  ];

  it.each(refusals)('says $reason as a problem', async (refusal) => {
    const { app, verbs } = fakeBorder({
      before: async (verb) => (verb === 'openTask' ? refusal : undefined),
    });
    const answer = await app.request('/v1/tasks', post(open, verbs.admit('job')));
    const problem = contract.problem.strict().parse(await answer.json());
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(problem.code).toBe(refusal.reason);
    expect(answer.status).toBe(PROBLEMS[problem.code].status);
    expect(problem.request_id).toBe(answer.headers.get('x-request-id'));
    expect(JSON.stringify(problem)).not.toContain(secretDetail);
    const retryAfter = 'retryAfterMs' in refusal ? String(Math.ceil(refusal.retryAfterMs / 1000)) : null;
    expect(answer.headers.get('retry-after')).toBe(retryAfter);
  });

  it('gives the detail of what the caller can correct', async () => {
    const { app, verbs } = fakeBorder({
      before: async (verb) => (verb === 'openTask' ? refusals[3] : undefined),
    });
    const answer = await app.request('/v1/tasks', post(open, verbs.admit('job')));
    expect(await answer.json()).toMatchObject({ detail: 'parameter region: write one of eu, us' });
  });

  it('answers 503 when the store is gone, and 500 without a word to all else that is thrown', async () => {
    const thrown: Error[] = [
      new HallpassError('store-unavailable', 'connection to 10.0.0.7 refused'),
      new Error('secret plan'),
    ];
    const { app, verbs, lines } = fakeBorder({
      before: async (verb) => {
        if (verb === 'openTask') throw thrown.shift();
        return undefined;
      },
    });
    const token = verbs.admit('job');
    const gone = await app.request('/v1/tasks', post(open, token));
    expect([gone.status, gone.headers.get('retry-after')]).toEqual([503, '2']);
    expect(await gone.text()).not.toContain('10.0.0.7');
    const broken = await app.request('/v1/tasks', post(open, token));
    expect(broken.status).toBe(500);
    const text = await broken.text();
    expect(JSON.parse(text)).toMatchObject({ code: 'internal', request_id: expect.any(String) });
    expect(text).not.toContain('secret plan');
    expect(lines.some((line) => line.includes('secret plan') && line.includes('"level":50'))).toBe(true);
  });
});

describe('createApp: bad input', () => {
  it.each([
    ['an unknown key', { ...open, colour: 'red' }, 'colour'],
    ['a wrong type', { ...open, task: 7 }, 'task'],
    ['a bad element', { ...open, credentials: ['a', ''] }, 'credentials[1]'],
    ['a missing key', { task: 'x' }, 'grant'],
    ['a name of 10,000 characters', { ...open, task: 'x'.repeat(10_000) }, 'task'],
    ['a fraction of a second', { ...open, ttl_seconds: 1.5 }, 'ttl_seconds'],
  ])('refuses %s and says where', async (_, body, path) => {
    const { app, verbs } = fakeBorder();
    const answer = await app.request('/v1/tasks', post(body, verbs.admit('job')));
    expect(answer.status).toBe(400);
    const { faults } = contract.problem.parse(await answer.json());
    expect(faults?.map((fault) => fault.path)).toEqual([path]);
    expect(verbs.tasks.size).toBe(0);
  });

  it.each([
    ['text that is not JSON', '{"grant":', 400],
    ['a key twice', '{"grant":"reports","task":"a","task":"b"}', 400],
    ['a key twice, once escaped', '{"grant":"reports","task":"a","t\\u0061sk":"b"}', 400],
    ['__proto__', '{"grant":"reports","task":"a","parameters":{"__proto__":{"x":1}}}', 400],
    [
      'deep nesting',
      `{"grant":"reports","task":"a","parameters":{"p":${'['.repeat(5000)}${']'.repeat(5000)}}}`,
      400,
    ],
    ['many members', `{"grant":"reports","task":"a","parameters":{"p":[${'1,'.repeat(5000)}1]}}`, 400],
    ['70 KB', JSON.stringify({ ...open, purpose: 'x'.repeat(70_000) }), 413],
  ])('refuses %s', async (_, body, status) => {
    const { app, verbs } = fakeBorder();
    const answer = await app.request('/v1/tasks', post(body, verbs.admit('job')));
    expect(answer.status).toBe(status);
    contract.problem.parse(await answer.json());
    expect(verbs.tasks.size).toBe(0);
  });

  it.each([
    ['text/plain', { 'content-type': 'text/plain' }],
    ['no type', { 'content-type': '' }],
    ['another charset', { 'content-type': 'application/json; charset=utf-16' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['compression', { 'content-encoding': 'gzip' }],
  ])('refuses %s with 415', async (_, headers) => {
    const { app, verbs } = fakeBorder();
    const answer = await app.request('/v1/tasks', post(open, verbs.admit('job'), headers));
    expect(answer.status).toBe(415);
  });

  it('refuses bytes that are not UTF-8', async () => {
    const { app, verbs } = fakeBorder();
    const init = post('', verbs.admit('job'));
    const answer = await app.request('/v1/tasks', { ...init, body: new Uint8Array([0x22, 0xff, 0x22]) });
    expect(answer.status).toBe(415);
  });

  it('takes a stream without a length, and refuses one that is too long', async () => {
    const { app, verbs } = fakeBorder();
    const token = verbs.admit('job');
    const stream = (chunks: string[]) =>
      ({
        ...post('', token),
        body: ReadableStream.from(chunks.map((c) => Buffer.from(c))),
        duplex: 'half',
      }) as RequestInit;
    expect((await app.request('/v1/tasks', stream(['{"grant":"reports",', '"task":"a"}']))).status).toBe(201);
    const flood = stream(Array.from({ length: 100 }, () => 'x'.repeat(1000)));
    expect((await app.request('/v1/tasks', flood)).status).toBe(413);
  });

  it.each([
    ['/v1/leases?colour=red', 'colour'],
    ['/v1/leases?state=gone', 'state'],
    ['/v1/leases?limit=501', 'limit'],
    ['/v1/leases?limit=1&limit=2', 'limit'],
    ['/v1/audit?since=yesterday', 'since'],
  ])('refuses the query of %s', async (path, at) => {
    const { app, verbs } = fakeBorder();
    const answer = await app.request(path, get(verbs.admit('job')));
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ faults: [{ path: at }] });
  });

  it('refuses a hostile idempotency key', async () => {
    const { app, verbs } = fakeBorder();
    for (const key of ['', 'a b', 'x'.repeat(201), 'é']) {
      const answer = await app.request(
        '/v1/tasks',
        post(open, verbs.admit('job'), { 'idempotency-key': key }),
      );
      expect(answer.status).toBe(400);
    }
  });

  it('finds nothing under an id that is none, without asking the broker', async () => {
    const { app, verbs } = fakeBorder();
    const token = verbs.admit('job');
    for (const id of ['x', '%00', 'a%27--', ID.toUpperCase(), '..%2f..%2fmetrics'])
      expect((await app.request(`/v1/tasks/${id}`, get(token))).status).toBe(404);
    expect(verbs.calls.filter(({ verb }) => verb === 'readTask')).toEqual([]);
    expect((await app.request(`/v1/tasks/${ID}`, get(token))).status).toBe(404);
  });

  it('takes hostile names as data', async () => {
    const { app, verbs } = fakeBorder();
    const task = `'; DROP ROLE x; -- \u0000 \u202e "${'é'.repeat(50)}`;
    const answer = await app.request('/v1/tasks', post({ grant: 'reports', task }, verbs.admit('job')));
    expect(contract.openTaskResponse.parse(await answer.json()).task.name).toBe(task);
  });

  it('answers 404 to an unknown route and an unknown method, as a problem', async () => {
    const { app } = fakeBorder();
    for (const init of [{ method: 'DELETE' }, {}])
      expect(contract.problem.parse(await (await app.request('/v1/nowhere', init)).json()).code).toBe(
        'not-found',
      );
    expect((await app.request('/v1/tasks', { method: 'DELETE' })).status).toBe(404);
  });
});

describe('createApp: bounds', () => {
  it('sends away who would begin something while the store is slow, and lets tasks end', async () => {
    const { app, verbs } = fakeBorder({ statementMs: () => 2_000 });
    const token = verbs.admit('job');
    const shed = await app.request('/v1/tasks', post({ grant: 'reports', task: 'nightly' }, token));
    expect([shed.status, shed.headers.get('retry-after')]).toEqual([503, '1']);
    expect(contract.problem.parse(await shed.json()).code).toBe('overloaded');
    expect((await app.request('/v1/grants', get(token))).status).toBe(200);
    const ending = await app.request(`/v1/tasks/${'0'.repeat(26)}/complete`, post({}, token));
    expect(ending.status).toBe(404);
  });

  it('hears nobody while the clock of its process is wrong, keeps no place for whom it sent away, and says it to OAuth clients as well', async () => {
    let fault: string | null = 'this clock is wrong';
    const { app, verbs } = fakeBorder({ limits: { maxInFlight: 1 }, clockFault: async () => fault });
    const token = verbs.admit('job');
    for (let i = 0; i < 3; i++) {
      const refused = await app.request('/v1/grants', get(token));
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
      expect(contract.problem.parse(await refused.json()).code).toBe('not-ready');
    }
    const form = {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: '',
    };
    const oauth = await app.request('/oauth/token', form);
    expect([oauth.status, await oauth.json()]).toMatchObject([503, { error: 'temporarily_unavailable' }]);
    fault = null;
    expect((await app.request('/v1/grants', get(token))).status).toBe(200);
  });

  it('answers that the store is away when it has to be asked about the clock, and is', async () => {
    const away = async () => {
      throw new HallpassError('store-unavailable', 'Cannot reach the store');
    };
    const { app, verbs } = fakeBorder({ clockFault: away });
    const answer = await app.request('/v1/grants', get(verbs.admit('job')));
    expect([answer.status, (await answer.json()) as object]).toMatchObject([
      503,
      { code: 'store-unavailable' },
    ]);
  });

  it('sheds above the bound of requests in flight, mints first, and takes more when they are done', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { app, verbs } = fakeBorder({
      limits: { maxInFlight: 2, maxInFlightMints: 1 },
      before: async (verb) => {
        if (verb === 'openTask') await gate;
        return undefined;
      },
    });
    const token = verbs.admit('job');
    const first = app.request('/v1/tasks', post(open, token));
    const shed = await app.request('/v1/tasks', post(open, token));
    expect([shed.status, shed.headers.get('retry-after')]).toEqual([503, '1']);
    expect(contract.problem.parse(await shed.json()).code).toBe('overloaded');
    // A task can still be ended while opens are shed.
    expect((await app.request(`/v1/tasks/${ID}/complete`, post({}, token))).status).toBe(404);
    release();
    expect((await first).status).toBe(201);
    expect((await app.request('/v1/tasks', post(open, token))).status).toBe(201);
  });

  it('bounds the rate of a caller, and lets it go on when the clock has', async () => {
    const { app, verbs, clock } = fakeBorder({ limits: { perCaller: { perSecond: 1, burst: 2 } } });
    const [busy, other] = [verbs.admit('busy'), verbs.admit('other')];
    const status = async (token: string) => (await app.request('/v1/grants', get(token))).status;
    expect([await status(busy), await status(busy), await status(busy)]).toEqual([200, 200, 429]);
    expect(await status(other)).toBe(200);
    await clock.advance(1000);
    expect([await status(busy), await status(busy)]).toEqual([200, 429]);
  });

  it('bounds the rate of an address before anything is verified', async () => {
    const { app, verbs } = fakeBorder({ limits: { perAddress: { perSecond: 1, burst: 1 } } });
    const from = (remoteAddress: string) => ({ incoming: { socket: { remoteAddress } } });
    expect((await app.request('/v1/grants', {}, from('10.0.0.1'))).status).toBe(401);
    const refused = await app.request('/v1/grants', get(verbs.admit('job')), from('10.0.0.1'));
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
    expect((await app.request('/v1/grants', {}, from('10.0.0.2'))).status).toBe(401);
    expect(verbs.calls).toEqual([]);
  });
});

describe('createApp: the access log', () => {
  it('says who asked for what, and holds no token, secret, body or query', async () => {
    const { app, verbs, lines } = fakeBorder();
    const token = verbs.admit('job');
    const answer = await app.request('/v1/tasks', post({ ...open, purpose: 'canary-body' }, token));
    const made = contract.openTaskResponse.parse(await answer.json());
    await app.request('/v1/leases?subject=canary-query', get(token));
    await app.request('/canary-path', get('canary-token'));
    const log = lines.join('');
    const secrets = Object.values(made.credentials[0]!.secret!.values).filter((value) => value.length > 8);
    for (const canary of [token, made.token!, ...secrets, 'canary-'])
      expect(log, canary).not.toContain(canary);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      level: 30,
      msg: 'request',
      method: 'POST',
      route: '/v1/tasks',
      status: 201,
      caller: { issuer: 'test', subject: 'job' },
      request_id: answer.headers.get('x-request-id'),
    });
    expect(JSON.parse(lines[2]!)).toMatchObject({ route: 'none', status: 404, caller: null });
  });
});
