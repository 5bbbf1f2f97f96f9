import { describe, expect, it } from 'vitest';
import type { Refusal } from '../../src/broker/refusal.ts';
import { createClient } from '../../src/client/client.ts';
import { HallpassProblem, HallpassUnreachable } from '../../src/client/problem.ts';
import { fakeBorder } from '../fakes/border.ts';
import { seal } from '../fakes/seal.ts';

const open = { grant: 'reports', task: 'nightly-1' };

type Fetch = typeof globalThis.fetch;

/** A client of the real app, with a network in between that the test may break. */
function setUp(
  options: Parameters<typeof fakeBorder>[0] = {},
  network: (pass: Fetch) => Fetch = (pass) => pass,
) {
  const border = fakeBorder({ seal, ...options });
  const pass: Fetch = async (input, init) => border.app.request(new Request(input as URL, init));
  const token = border.verbs.admit('job');
  const waits: number[] = [];
  const told: string[] = [];
  const client = createClient({
    url: 'http://127.0.0.1:1/',
    fetch: network(pass),
    token: async () => token,
    random: () => 1,
    sleep: async (ms) => {
      waits.push(ms);
    },
    onWait: ({ message }, ms) => {
      told.push(`${message} ${ms}`);
    },
  });
  return { ...border, client, waits, told, token };
}

/** The first `times` answers never arrive, but the requests do. */
function losingAnswers(times: number): (pass: Fetch) => Fetch {
  let lost = 0;
  return (pass) => async (input, init) => {
    const answer = await pass(input, init);
    if (lost++ < times) throw new TypeError('fetch failed', { cause: new Error('socket hang up') });
    return answer;
  };
}

/** The next calls of `verb` are refused so, one by one. */
function refusing(verb: string, ...refusals: Refusal[]) {
  return { before: async (called: string) => (called === verb ? refusals.shift() : undefined) };
}

describe('createClient: openTask', () => {
  it('receives the secret sealed, and opens it', async () => {
    const { client, verbs, lines } = setUp();
    const task = await client.openTask({ ...open, parameters: { region: 'eu' } });
    expect(task.credentials[0]?.secret).toMatchObject({ type: 'postgres', values: { host: '127.0.0.1' } });
    expect(verbs.callers.get(task.token)?.kind).toBe('task');
    expect(lines.join('')).not.toContain(task.token);
  });

  it('gets the same credential when the answer is lost: no second one is made', async () => {
    const { client, verbs, waits } = setUp({}, losingAnswers(2));
    const task = await client.openTask(open);
    expect(task.credentials[0]?.secret.values.password).toEqual(expect.any(String));
    expect(verbs.leases.size).toBe(1);
    expect(waits).toEqual([250, 500]);
  });

  it('gives up after its attempts, and says why, before each wait too', async () => {
    const { client, waits, told } = setUp({}, losingAnswers(99));
    const why = 'Cannot reach the broker at http://127.0.0.1:1: socket hang up';
    await expect(client.openTask(open)).rejects.toThrow(why);
    expect(waits).toHaveLength(4);
    expect(told).toEqual(waits.map((ms) => `${why} ${ms}`));
  });

  it('waits as long as the broker asks', async () => {
    const { client, waits } = setUp(
      refusing(
        'openTask',
        { reason: 'in-progress', detail: '', retryAfterMs: 1 },
        { reason: 'overloaded', detail: '', retryAfterMs: 7000 },
      ),
    );
    await client.openTask(open);
    expect(waits).toEqual([1000, 7000]);
  });

  it('does not wait for minutes: it says so instead', async () => {
    const { client } = setUp(
      refusing('openTask', { reason: 'target-unavailable', detail: '', retryAfterMs: 300_000 }),
    );
    await expect(client.openTask(open)).rejects.toMatchObject({
      code: 'target-unavailable',
      retryAfterSeconds: 300,
    });
  });

  it.each(['not-allowed', 'mint-failed', 'already-delivered', 'unauthenticated'] as const)(
    'never repeats after %s',
    async (reason) => {
      const { client, waits } = setUp(refusing('openTask', { reason, detail: '' }));
      await expect(client.openTask(open)).rejects.toMatchObject({ code: reason });
      expect(waits).toEqual([]);
    },
  );

  it('stops repeating when it is told to, with the error that it met', async () => {
    const stop = new AbortController();
    const client = createClient({
      url: 'http://localhost:1',
      fetch: async () => {
        stop.abort();
        throw new TypeError('fetch failed');
      },
      token: async () => 'x',
    });
    await expect(client.openTask(open, { signal: stop.signal })).rejects.toBeInstanceOf(HallpassUnreachable);
  });

  it('takes the secret in the clear only when asked', async () => {
    const { client, verbs } = setUp();
    await client.openTask(open, { unsealed: true });
    expect([...verbs.tasks.values()][0]?.publicKey).toBeNull();
    await client.openTask(open);
    expect([...verbs.tasks.values()][1]?.publicKey).toMatchObject({ kty: 'EC', crv: 'P-256' });
    expect([...verbs.tasks.values()][1]?.publicKey).not.toHaveProperty('d');
  });
});

describe('createClient: the task handle', () => {
  it('adds credentials, beats, renews, and completes', async () => {
    const { client, verbs } = setUp({ heartbeatSeconds: 60 });
    const task = await client.openTask(open);
    expect((await task.addCredentials({ credentials: ['lake'] }))[0]?.secret.values.database).toBe('lake');
    expect((await task.heartbeat()).state).toBe('open');
    expect(await task.renew(60)).toHaveLength(2);
    const done = await task.complete(4);
    expect(done.leases.map(({ outcome }) => outcome)).toEqual(['revoked', 'revoked']);
    expect(task.task).toMatchObject({ state: 'ended', exit_status: 4 });
    expect(verbs.calls.at(-1)?.args[0]).toMatchObject({ kind: 'task' });
  });

  it('completes when it is disposed of, once', async () => {
    const { client, verbs } = setUp();
    {
      await using task = await client.openTask(open);
      expect(task.task.state).toBe('open');
    }
    {
      await using task = await client.openTask(open);
      await task.complete(0);
    }
    expect(verbs.calls.filter(({ verb }) => verb === 'completeTask')).toHaveLength(2);
  });

  it('addCredentials: is not repeated when the answer is lost, for a second one would issue twice', async () => {
    let broken = false;
    const { client, verbs, waits } = setUp({}, (pass) => async (input, init) => {
      const answer = await pass(input, init);
      if (broken) throw new TypeError('fetch failed');
      return answer;
    });
    const task = await client.openTask(open);
    broken = true;
    await expect(task.addCredentials({ credentials: ['lake'] })).rejects.toBeInstanceOf(HallpassUnreachable);
    expect(verbs.leases.size).toBe(2);
    expect(waits).toEqual([]);
  });

  it('complete: is repeated until it is answered', async () => {
    const { client, verbs } = setUp();
    const task = await client.openTask(open);
    const again = setUp({}, losingAnswers(1));
    again.verbs.tasks.set(task.id, verbs.tasks.get(task.id)!);
    expect((await again.client.completeTask(task.id, 0)).task.state).toBe('ended');
    expect(again.verbs.calls.filter(({ verb }) => verb === 'completeTask')).toHaveLength(2);
  });
});

describe('createClient: reading and ruling', () => {
  it('lists, reads, revokes, explains, cuts and audits', async () => {
    const { client } = setUp();
    const task = await client.openTask(open);
    const id = task.credentials[0]!.lease.id;
    expect((await client.listTasks({ state: 'open' })).tasks).toHaveLength(1);
    expect((await client.readTask(task.id)).leases).toHaveLength(1);
    expect((await client.listLeases({ live: 'true', limit: 10 })).leases).toHaveLength(1);
    expect((await client.renewLease(id, 30)).id).toBe(id);
    expect((await client.revokeLease(id, 'incident')).outcome).toBe('revoked');
    expect((await client.readLease(id)).state).toBe('ended');
    expect((await client.grants())[0]?.name).toBe('reports');
    expect((await client.explain({ grant: 'reports', task: 'x' })).grants[0]?.allowed).toBe(false);
    const cut = await client.createTaskGrant({
      grant: 'reports',
      task: 'a',
      expires_in_seconds: 60,
      uses: 2,
    });
    expect(await client.readTaskGrant(cut.id)).toEqual(cut);
    expect((await client.audit({ order: 'newest' })).events).toHaveLength(1);
  });

  it('says each fault of a bad request', async () => {
    const { client } = setUp();
    const bad = client.openTask({ grant: '', task: 'x', ttl_seconds: 0 });
    await expect(bad).rejects.toMatchObject({ code: 'invalid-request', status: 400 });
    await expect(bad).rejects.toThrow(/grant: .*; ttl_seconds: /);
  });

  it('never lets an id leave its place in the path', async () => {
    const { client, verbs } = setUp();
    await expect(client.readTask('../grants')).rejects.toMatchObject({ code: 'not-found' });
    expect(verbs.calls.some(({ verb }) => verb === 'availableGrants')).toBe(false);
  });
});

describe('createClient: what is between', () => {
  const answering = (status: number, body: string, headers = {}) =>
    createClient({
      url: 'https://broker.example/base/',
      fetch: async () => new Response(body, { status, headers }),
      token: async () => 'x',
      sleep: async () => {},
    });

  it('names an answer that is not the broker’s', async () => {
    for (const [status, body] of [
      [200, '<html>'],
      [404, '{"error":"x"}'],
      [502, 'Bad gateway'],
    ] as const) {
      const answer = answering(status, body).grants();
      await expect(answer).rejects.toBeInstanceOf(HallpassProblem);
      await expect(answer).rejects.toMatchObject({ code: 'unexpected-answer', status });
    }
  });

  it('keeps the path of its address, and follows no redirect with a token', async () => {
    const seen: [string, RequestInit | undefined][] = [];
    const client = createClient({
      url: 'https://broker.example/base/',
      fetch: async (input, init) => {
        seen.push([String(input), init]);
        return Response.json({ grants: [] });
      },
      token: async () => 'x',
    });
    await client.grants();
    expect(seen[0]?.[0]).toBe('https://broker.example/base/v1/grants');
    expect(seen[0]?.[1]).toMatchObject({ redirect: 'error' });
  });

  it.each([
    ['http://broker.example', false],
    ['http://10.0.0.1', false],
    ['http://localhost.example', false],
    ['ftp://localhost', false],
    ['broker.example', false],
    ['https://broker.example', true],
    ['http://localhost:8080', true],
    ['http://127.0.0.1:8080', true],
    ['http://[::1]:8080', true],
  ])('%s: %s', (url, fine) => {
    const make = () => createClient({ url, token: async () => 'x' });
    if (fine) make();
    else expect(make).toThrow(TypeError);
  });

  it('sends tokens in clear only when that is asked for by name', () => {
    createClient({ url: 'http://broker.example', allowInsecureHttp: true, token: async () => 'x' });
  });
});
