import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest';
import { mayHaveTakenEffect } from '../../../src/errors.ts';
import { provider } from '../../../src/providers/http/provider.ts';
import type { HttpScope } from '../../../src/providers/http/settings.ts';
import type { EndableTarget, Target } from '../../../src/providers/provider.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { endingOf, failure, soon, termsOf } from '../../conformance/provider.ts';
import { startWebhookWorld } from './world.ts';

let world: Awaited<ReturnType<typeof startWebhookWorld>>;
beforeAll(async () => {
  world = await startWebhookWorld();
});
afterEach(() => {
  world.service.before = null;
});
afterAll(() => world.stop());

function openAny(over: object = {}): Target<HttpScope> {
  const context = {
    runtime: systemRuntime,
    target: 'conformance',
    mark: 'hp_cnf0_',
    identityToken: world.identityToken,
  };
  const target = provider.open(world.settings(over), context);
  onTestFinished(() => target.close());
  return target;
}

function open(over: object = {}): EndableTarget<HttpScope> {
  const target = openAny(over);
  if (target.ends === 'expiry-only') throw new Error('it can be ended');
  return target;
}

function answering(operation: string, body: unknown, status = 200): void {
  world.service.before = (path) => (path === `/${operation}` ? { status, body } : undefined);
}

test('mint: tells the service what it needs: the name, the scope, both deadlines, and for whom', async () => {
  const terms = termsOf();
  await open().mint({ role: 'reader' }, terms, soon());
  const request = world.service.requests.findLast(({ path }) => path === '/mint');
  expect(request?.body).toEqual({
    lease: terms.leaseId,
    name: terms.name,
    scope: { role: 'reader' },
    mint_before: new Date(terms.mintBefore).toISOString(),
    expires_at: new Date(terms.expiresAt).toISOString(),
    context: {
      issuer: 'https://issuer.example',
      subject: 'batch',
      grant: 'nightly',
      task: 'orders',
      task_id: terms.context.taskId,
      purpose: 'conformance',
    },
  });
});

test('connection: a request cannot be altered, replayed or sent elsewhere', async () => {
  const sent: { url: string; init: RequestInit }[] = [];
  const target = provider.open(world.settings(), {
    runtime: {
      ...systemRuntime,
      fetch: (url, init) => {
        sent.push({ url: String(url), init: init ?? {} });
        return systemRuntime.fetch(url, init);
      },
    },
    target: 'conformance',
    mark: 'hp_cnf0_',
    identityToken: world.identityToken,
  });
  onTestFinished(() => target.close());
  await target.mint({}, termsOf(), soon());
  const [{ url, init }] = sent as [(typeof sent)[0]];
  const again = (to: string, body: unknown) =>
    fetch(to, { method: 'POST', headers: init.headers as Record<string, string>, body: body as string });
  const before = world.service.credentials.size;
  expect((await again(url, init.body)).status).toBe(409);
  expect((await again(url, String(init.body).replace('"batch"', '"other"'))).status).toBe(401);
  expect((await again(url.replace('/mint', '/end'), init.body)).status).toBe(401);
  expect(world.service.credentials.size).toBe(before);
});

test.each(['mint', 'end'])(
  '%s: where something on the way repeats it after a lost answer, the answer to the repeat is not taken for the first',
  async (operation) => {
    let repeats = false;
    const target = provider.open(world.settings(), {
      runtime: {
        ...systemRuntime,
        async fetch(url, init) {
          if (repeats) await (await systemRuntime.fetch(url, init)).text();
          return systemRuntime.fetch(url, init);
        },
      },
      target: 'conformance',
      mark: 'hp_cnf0_',
      identityToken: world.identityToken,
    });
    onTestFinished(() => target.close());
    if (target.ends === 'expiry-only') throw new Error('it can be ended');
    const terms = termsOf();
    if (operation === 'end') await target.mint({}, terms, soon());
    repeats = true;
    const call =
      operation === 'end' ? target.end(endingOf(terms, null), soon()) : target.mint({}, terms, soon());
    expect(mayHaveTakenEffect(await failure(call))).toBe(true);
    expect(world.service.credentials.has(terms.name)).toBe(operation === 'mint');
  },
);

test.each([
  ['nothing', ''],
  ['no JSON', '<html>ok</html>'],
  ['no secret', { expires_at: new Date().toISOString() }],
  ['an empty secret', { secret: { values: {} }, expires_at: new Date().toISOString() }],
  ['a number for a secret', { secret: { values: { key: 1 } }, expires_at: new Date().toISOString() }],
  ['an expiry without a zone', { secret: { values: { key: 'x' } }, expires_at: '2026-01-01T00:00:00' }],
  [
    'a member that nobody knows',
    { secret: { values: { key: 'x' } }, expires_at: new Date().toISOString(), ok: true },
  ],
  [
    'a handle too large',
    { secret: { values: { key: 'x' } }, expires_at: new Date().toISOString(), handle: 'x'.repeat(9_000) },
  ],
])('mint: an answer of %s breaks the protocol: something may have been made', async (_, body) => {
  answering('mint', body);
  const error = await failure(open().mint({}, termsOf(), soon()));
  expect(error.code).toBe('target-failed');
});

test('mint: a credential that outlives its lease, or whose handle holds the secret, is not handed out', async () => {
  const terms = termsOf();
  const key = 'a "quoted" secret of some length';
  const values = { key };
  answering('mint', { secret: { values }, expires_at: new Date(terms.expiresAt + 1).toISOString() });
  expect(await failure(open().mint({}, terms, soon()))).toMatchObject({
    message: expect.stringContaining('longer'),
  });
  const expires_at = new Date(terms.expiresAt).toISOString();
  answering('mint', { secret: { values }, handle: { deep: [`key=${key}`] }, expires_at });
  const error = await failure(open().mint({}, terms, soon()));
  expect(error).toMatchObject({ code: 'target-failed', message: expect.stringContaining('handle') });
  expect(error.message).not.toContain(key);
  answering('mint', { secret: { type: 'postgres', values }, handle: { id: 1 }, expires_at });
  expect(await open().mint({}, terms, soon())).toMatchObject({ secret: { type: 'postgres', values } });
});

test.each([
  ['200 without a word', 200, ''],
  ['200 and an empty object', 200, {}],
  ['200 and ended: false', 200, { ended: false, found: true }],
  ['200 and a string for true', 200, { ended: 'true', found: true }],
  ['202', 202, { ended: true, found: true }],
  ['204', 204, ''],
  ['301', 301, { ended: true, found: true }],
  ['404', 404, { error: 'no such credential' }],
  ['410', 410, { error: 'gone' }],
  ['500', 500, { ended: true, found: true }],
])('end: an answer of %s is no confirmation', async (_, status, body) => {
  const target = open();
  const terms = termsOf();
  const { handle } = await target.mint({}, terms, soon());
  answering('end', body, status);
  await failure(target.end(endingOf(terms, handle), soon()));
});

test.each([
  [400, 'target-refused', false],
  [401, 'target-forbidden', false],
  [403, 'target-forbidden', false],
  [409, 'target-failed', true],
  [429, 'target-throttled', false],
  [500, 'target-failed', true],
  [503, 'target-unreachable', true],
])('mint: an answer of %i is %s', async (status, code, mayExist) => {
  answering('mint', { error: 'no \u001b[2J way' }, status);
  const error = await failure(open().mint({}, termsOf(), soon()));
  expect(error).toMatchObject({ code, message: expect.stringMatching(/"no \[2J way"$/) });
  expect(mayHaveTakenEffect(error)).toBe(mayExist);
});

test('inventory: what the service lists beside ours is left out', async () => {
  const target = open({ inventory: true });
  const names = ['hp_cnf0_a', 'hp_cnf1_b', 'postgres'];
  answering('list', { names });
  const listed = async () => {
    const found: string[] = [];
    for await (const { name } of target.inventory!(soon())) found.push(name);
    return found;
  };
  expect(await listed()).toEqual(['hp_cnf0_a']);
});

test('open: a capability that the service does not have is absent', () => {
  expect(open()).not.toHaveProperty('extend');
  expect(open()).not.toHaveProperty('inventory');
  expect(openAny({ ends: 'expiry-only' })).not.toHaveProperty('end');
});

test('extend: a service that sets another end has not extended', async () => {
  const target = open({ extend: true });
  const terms = termsOf();
  const { handle } = await target.mint({}, terms, soon());
  answering('extend', { expires_at: new Date(terms.expiresAt + 1).toISOString() });
  await failure(target.extend!(endingOf(terms, handle), terms.expiresAt + 2, soon()));
});

test('settings: https, or a word that says otherwise', () => {
  for (const bad of [
    { url: 'http://x.example' },
    { url: 'https://x.example', insecure_plaintext: true },
    { url: 'https://user:secret@x.example' },
    { url: 'https://x.example/?a=b' },
    { url: 'https://x.example', ends: 'expiry-only', extend: true },
  ])
    expect(provider.settings.safeParse(bad).success, JSON.stringify(bad)).toBe(false);
  expect(provider.settings.parse({ url: 'https://x.example/hooks/' }).url).toBe('https://x.example/hooks');
  expect(provider.scope.safeParse({ role: 'x'.repeat(20_000) }).success).toBe(false);
});
