import { randomBytes } from 'node:crypto';
import { serve } from '@hono/node-server';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import * as oauth from 'oauth4webapi';
import { afterAll, afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { composeIssuer } from '../../src/issuer/compose.ts';
import { createIssuer, type Issuer, type IssuerOptions } from '../../src/issuer/issuer.ts';
import { newMasterKey, readMasterKeys } from '../../src/issuer/master-keys.ts';
import type { Database } from '../../src/store/database.ts';
import { readSigningKeys } from '../../src/store/signing-keys.ts';
import { fakeBorder } from '../fakes/border.ts';
import { createTestRuntime, type TestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
afterAll(() => store.stop());

const DAY = 86_400_000;
const URL_ = 'https://hallpass.example';
const ring = (text: string) => {
  const keys = readMasterKeys(text);
  if (!keys.ok) throw new Error(keys.error);
  return keys.value;
};

let database: Database;
let runtime: TestRuntime;
const key = newMasterKey(randomBytes);

function start(over: Partial<IssuerOptions> = {}): Promise<Issuer> {
  return createIssuer({
    url: URL_,
    algorithm: 'ES256',
    rotateEveryMs: 30 * DAY,
    masterKeys: ring(key),
    database,
    runtime,
    onError: (error) => {
      throw error;
    },
    ...over,
  });
}

const token = (issuer: Issuer, over = {}) =>
  issuer.identityToken({
    subject: 'hallpass:target:prod',
    audience: 'aws',
    claims: {},
    ttlSeconds: 300,
    ...over,
  });

/** What a relying party that holds this key set makes of a token. */
async function verified(issuer: Issuer, jwt: string, jwks = issuer.jwks()) {
  return jwtVerify(jwt, createLocalJWKSet(jwks as never), {
    issuer: issuer.url,
    audience: 'aws',
    currentDate: new Date(runtime.now()),
  });
}

describe('issuer', () => {
  beforeEach(async () => {
    database = await store.open();
    runtime = createTestRuntime();
  });
  afterEach(() => database.close());

  test('identityToken: verifies with the published keys, and says who, to whom and until when', async () => {
    for (const algorithm of ['ES256', 'RS256'] as const) {
      const issuer = await start({ algorithm });
      const tags = { 'https://aws.amazon.com/tags': { principal_tags: { task: ['nightly'] } } };
      const jwt = await token(issuer, { claims: tags });
      const { payload, protectedHeader } = await verified(issuer, jwt);
      expect(protectedHeader.alg).toBe(algorithm);
      expect(payload).toMatchObject({ ...tags, iss: URL_, sub: 'hallpass:target:prod', aud: 'aws' });
      expect(payload.exp).toBe(Math.floor(runtime.now() / 1000) + 300);
      expect((await verified(issuer, await token(issuer))).payload.jti).not.toBe(payload.jti);
    }
  });

  test('identityToken: a claim of the issuer cannot be replaced, and its life is bounded', async () => {
    const issuer = await start();
    for (const claim of ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'])
      await expect(token(issuer, { claims: { [claim]: 'x' } })).rejects.toThrow(RangeError);
    for (const ttlSeconds of [0, -1, 3601, Number.NaN, Number.POSITIVE_INFINITY])
      await expect(token(issuer, { ttlSeconds })).rejects.toThrow(RangeError);
  });

  test('createIssuer: replicas that start at once publish and sign with the same keys', async () => {
    const replicas = await Promise.all([start(), start(), start()]);
    const sets = replicas.map((issuer) => JSON.stringify(issuer.jwks()));
    expect(new Set(sets).size).toBe(1);
    expect(await readSigningKeys(database)).toHaveLength(2);
    for (const issuer of replicas) await verified(replicas[0]!, await token(issuer));
  });

  test('refresh: the next key is published before it is used; the old one goes when its tokens are dead', async () => {
    const issuer = await start();
    const before = decodeProtectedHeader(await token(issuer)).kid;
    runtime.jump(29 * DAY);
    await issuer.refresh();
    const ahead = issuer.jwks();
    expect((ahead as { keys: unknown[] }).keys).toHaveLength(4);
    expect(decodeProtectedHeader(await token(issuer)).kid).toBe(before);
    runtime.jump(DAY - 1);
    const last = await token(issuer, { ttlSeconds: 3600 });
    runtime.jump(1);
    const first = await token(issuer);
    expect(decodeProtectedHeader(first).kid).not.toBe(before);
    // A relying party that read the keys a day ago, and never since.
    await verified(issuer, first, ahead);
    runtime.jump(3_598_000);
    await issuer.refresh();
    await verified(issuer, last);
    runtime.jump(2 * 3_600_000);
    await issuer.refresh();
    expect(JSON.stringify(issuer.jwks())).not.toContain(before);
    expect(await readSigningKeys(database)).toHaveLength(2);
  });

  test('run: a store that does not answer is told, and the known keys go on serving', async () => {
    const errors: unknown[] = [];
    const gone = { ...database };
    const issuer = await start({ database: gone, onError: (error) => errors.push(error) });
    const jwks = issuer.jwks();
    Object.assign(gone, { orm: null });
    const stopping = new AbortController();
    const running = issuer.run(stopping.signal);
    await runtime.advance(10 * 60_000);
    expect(errors).toHaveLength(2);
    await verified(issuer, await token(issuer), jwks);
    stopping.abort();
    await running;
  });

  test('createIssuer: no private key is in the store in clear, nor among what is published', async () => {
    const issuer = await start();
    const rows = await readSigningKeys(database);
    expect(JSON.stringify(issuer.jwks())).not.toMatch(/"(d|p|q|dp|dq|qi)":/);
    for (const row of rows) {
      const jwk = JSON.parse(new TextDecoder().decode(await ring(key).open('signing key', row.sealed)));
      expect(jwk.d).toMatch(/.{40}/);
      expect(JSON.stringify(row)).not.toContain(jwk.d);
    }
  });

  test('createIssuer: a master key is replaced step by step, and the old one is needed no more', async () => {
    await start();
    const fresh = newMasterKey(randomBytes);
    await expect(start({ masterKeys: ring(fresh) })).rejects.toMatchObject({ code: 'config-invalid' });
    const both = await start({ masterKeys: ring(`${fresh} ${key}`) });
    const jwks = JSON.stringify(both.jwks());
    const alone = await start({ masterKeys: ring(fresh) });
    expect(JSON.stringify(alone.jwks())).toBe(jwks);
    await expect(start()).rejects.toMatchObject({ code: 'config-invalid' });
  });

  test('run: reads what other replicas made', async () => {
    const issuer = await start();
    const stopping = new AbortController();
    const running = issuer.run(stopping.signal);
    runtime.jump(29 * DAY);
    const other = await start();
    await runtime.advance(5 * 60_000);
    await expect.poll(() => JSON.stringify(issuer.jwks())).toBe(JSON.stringify(other.jwks()));
    stopping.abort();
    await running;
  });
});

test('discovery: a relying party that is not ours finds the keys over HTTP and verifies a token', async () => {
  database = await store.open();
  onTestFinished(() => database.close());
  // The relying party has the real clock.
  runtime = createTestRuntime({ now: Date.now(), runs: true });
  let handler: (request: Request) => Response | Promise<Response> = () => new Response(null, { status: 503 });
  const server = serve({ fetch: (request) => handler(request), port: 0, hostname: '127.0.0.1' });
  onTestFinished(() => void server.close());
  await new Promise((resolve) => (server.listening ? resolve(null) : server.once('listening', resolve)));
  const { port } = server.address() as { port: number };
  const issuer = await start({ url: `http://127.0.0.1:${port}/broker` });
  const { app } = fakeBorder({ issuer });
  handler = (request) => app.fetch(request);

  const insecure = { [oauth.allowInsecureRequests]: true };
  const url = new URL(issuer.url);
  const as = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, insecure));
  expect(as.issuer).toBe(issuer.url);
  const request = new Request('https://relying.example', {
    headers: { authorization: `Bearer ${await token(issuer, { audience: 'https://relying.example' })}` },
  });
  // As an access token of RFC 9068 it is refused: it is none.
  await expect(
    oauth.validateJwtAccessToken(as, request, 'https://relying.example', insecure),
  ).rejects.toThrow();
  const jwks = (await (await fetch(as.jwks_uri!)).json()) as JSONWebKeySet;
  await jwtVerify(await token(issuer), createLocalJWKSet(jwks), { issuer: as.issuer, audience: 'aws' });
  for (const path of ['', '/broker']) {
    const answer = await app.request(`${path}/.well-known/jwks.json`);
    expect(answer.headers.get('cache-control')).toBe('public, max-age=300');
    expect(await answer.json()).toEqual(jwks);
  }
});

test('composeIssuer: a shared store without a master key has no issuer', async () => {
  const shared = { kind: 'postgres' } as Database;
  const log = { warn() {}, error() {} };
  expect(
    await composeIssuer(null, {
      url: URL_,
      stateDirectory: '/nowhere',
      database: shared,
      runtime: createTestRuntime(),
      log,
    }),
  ).toBeNull();
});
