import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ProviderError } from '../../../src/errors.ts';
import { createProver } from '../../support/dpop.ts';
import { type OAuthWorld, openOAuthWorld } from './world.ts';

const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const REPORT = { type: 'hallpass_task', grant: 'report', task: 'nightly' };
const ASSISTED = { ...REPORT, grant: 'assisted' };

let world: OAuthWorld;
beforeAll(async () => {
  world = await openOAuthWorld({ single_use: true });
});
afterAll(() => world.close());
beforeEach(() => {
  world.target.fault = () => {};
});

type Parameters = Record<string, string | undefined>;

/** A good request but for what is said; `undefined` leaves a parameter out. */
async function exchange(over: Parameters = {}, headers: Record<string, string> = {}) {
  const parameters: Parameters = {
    grant_type: GRANT_TYPE,
    subject_token: over.subject_token ?? (await world.job()),
    subject_token_type: JWT,
    authorization_details: JSON.stringify([REPORT]),
    ...over,
  };
  const form = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value]],
  );
  return send('/oauth/token', new URLSearchParams(form as [string, string][]).toString(), headers);
}

async function send(path: string, body: string, headers: Record<string, string> = {}) {
  const answer = await fetch(`${world.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body,
  });
  const json = (await answer.json()) as Record<string, unknown>;
  return {
    status: answer.status,
    headers: answer.headers,
    json,
    error: json.error,
    text: JSON.stringify(json),
  };
}
const details = (over: object, from: object = REPORT) => JSON.stringify([{ ...from, ...over }]);
const tokenOf = async (over: Parameters = {}, headers = {}) =>
  (await exchange(over, headers)).json.access_token as string;

test('token: a good request is granted, and nobody may keep the answer', async () => {
  const answer = await exchange();
  expect(answer.status).toBe(200);
  expect(answer.headers.get('cache-control')).toBe('no-store');
});

describe('token: refuses a request that is not one', () => {
  test.each<[string, string, Parameters]>([
    ['no grant_type', 'invalid_request', { grant_type: undefined }],
    ['another grant_type', 'unsupported_grant_type', { grant_type: 'client_credentials' }],
    ['no subject_token', 'invalid_request', { subject_token: '' }],
    ['no subject_token_type', 'invalid_request', { subject_token_type: undefined }],
    [
      'the type of a token that is not for us to read',
      'invalid_request',
      { subject_token_type: 'urn:ietf:params:oauth:token-type:access_token' },
    ],
    ['SAML', 'invalid_request', { subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }],
    ['an actor_token without its type', 'invalid_request', { actor_token: 'x' }],
    ['an actor_token_type without a token', 'invalid_request', { actor_token_type: JWT }],
    [
      'a refresh token',
      'invalid_request',
      { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
    ],
    ['another resource', 'invalid_target', { resource: 'https://vault.example' }],
    ['another audience', 'invalid_target', { audience: 'warehouse' }],
    ['a scope', 'invalid_scope', { scope: 'admin' }],
    ['no details', 'invalid_authorization_details', { authorization_details: undefined }],
    ['details that are no JSON', 'invalid_authorization_details', { authorization_details: '[{' }],
    [
      'details that are no list',
      'invalid_authorization_details',
      { authorization_details: JSON.stringify(REPORT) },
    ],
    ['no element', 'invalid_authorization_details', { authorization_details: '[]' }],
    [
      'two tasks',
      'invalid_authorization_details',
      { authorization_details: JSON.stringify([REPORT, REPORT]) },
    ],
    [
      'another type',
      'invalid_authorization_details',
      { authorization_details: details({ type: 'payment' }) },
    ],
    [
      'an unknown member',
      'invalid_authorization_details',
      { authorization_details: details({ admin: true }) },
    ],
    [
      'a member twice',
      'invalid_authorization_details',
      { authorization_details: '[{"type":"hallpass_task","grant":"report","task":"x","task":"nightly"}]' },
    ],
    [
      'a private key to seal for',
      'invalid_authorization_details',
      { authorization_details: details({ public_key: { kty: 'oct', k: 'AAAA' } }) },
    ],
  ])('%s', async (_, error, over) => {
    const answer = await exchange(over);
    expect([answer.status, answer.error]).toEqual([400, error]);
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  test('a parameter twice, bad encoding, another media type, a body that is too large', async () => {
    const body = `grant_type=${GRANT_TYPE}`;
    expect(await send('/oauth/token', `${body}&${body}`)).toMatchObject({
      status: 400,
      error: 'invalid_request',
    });
    expect((await send('/oauth/token', 'a=%ff')).error).toBe('invalid_request');
    expect((await send('/oauth/token', body, { 'content-type': 'application/json' })).error).toBe(
      'invalid_request',
    );
    expect((await send('/oauth/token', `a=${'x'.repeat(70_000)}`)).status).toBe(413);
  });

  test.each<[string, Parameters, Record<string, string>]>([
    ['a client_assertion', { client_assertion: 'x.y.z' }, {}],
    ['a client_secret', { client_secret: 'hunter2' }, {}],
    ['credentials in the header', {}, { authorization: 'Basic YTpi' }],
  ])('%s, which nobody would look at', async (_, over, headers) => {
    expect(await exchange(over, headers)).toMatchObject({ status: 400, error: 'invalid_client' });
  });
});

describe('token: denies in one and the same words, with the reason in the log', () => {
  test.each<[string, RegExp, () => Promise<Parameters>]>([
    [
      'a subject token for another audience',
      /audience/,
      async () => ({ subject_token: await world.job({ aud: 'vault' }) }),
    ],
    [
      'a client assertion for this very endpoint as subject token',
      /audience/,
      async () => ({ subject_token: await world.job({ aud: `${world.url}/oauth/token` }) }),
    ],
    ['a token that is none', /unknown-issuer/, async () => ({ subject_token: 'x' })],
    [
      'the token of a task as subject',
      /token of another task/,
      async () => ({ subject_token: await tokenOf() }),
    ],
    [
      'somebody unknown to the grant',
      /principal/,
      async () => ({ subject_token: await world.job({ repository_id: '43' }) }),
    ],
    ['another task', /task/, async () => ({ authorization_details: details({ task: 'other' }) })],
    [
      'a grant that is not there',
      /no grant/,
      async () => ({ authorization_details: details({ grant: 'gone' }) }),
    ],
    [
      'a request for approval that is not there',
      /this grant asks for none/,
      async () => ({ authorization_details: details({ request: '0'.repeat(26) }) }),
    ],
    [
      'a credential that is not in the grant',
      /credential/,
      async () => ({ authorization_details: details({ credentials: ['db', 'root'] }) }),
    ],
    [
      'a longer life than the grant gives',
      /ttl/,
      async () => ({ authorization_details: details({ ttl_seconds: 3601 }) }),
    ],
    [
      'a parameter off the list',
      /region/,
      async () => ({ authorization_details: details({ parameters: { region: 'ap' } }) }),
    ],
    [
      'an actor whom the grant does not know',
      /actor/,
      async () => ({ actor_token: await world.agent(), actor_token_type: JWT }),
    ],
    [
      'another actor than the grant names',
      /actor\.claims\.sub/,
      async () => ({
        actor_token: await world.agent({ sub: 'agent-8' }),
        actor_token_type: JWT,
        authorization_details: JSON.stringify([ASSISTED]),
      }),
    ],
    [
      'no actor where the grant names one',
      /actor\.issuer/,
      async () => ({ authorization_details: JSON.stringify([ASSISTED]) }),
    ],
    [
      "subject and actor in each other's place",
      /issuer/,
      async () => ({
        subject_token: await world.agent(),
        actor_token: await world.job(),
        actor_token_type: JWT,
        authorization_details: JSON.stringify([ASSISTED]),
      }),
    ],
    [
      'an actor whom may_act does not name',
      /may_act/,
      async () => ({
        subject_token: await world.job({ may_act: { sub: 'agent-9', iss: world.agents.url } }),
        actor_token: await world.agent(),
        actor_token_type: JWT,
        authorization_details: JSON.stringify([ASSISTED]),
      }),
    ],
    [
      'the token of a task as actor',
      /actor: unknown-issuer/,
      async () => ({
        actor_token: await tokenOf(),
        actor_token_type: JWT,
        authorization_details: JSON.stringify([ASSISTED]),
      }),
    ],
    [
      'an actor token for another audience',
      /actor: agents: audience/,
      async () => ({
        actor_token: await world.agent({ aud: 'vault' }),
        actor_token_type: JWT,
        authorization_details: JSON.stringify([ASSISTED]),
      }),
    ],
    [
      'a chain that is too long',
      /More than 3/,
      async () => ({
        subject_token: await world.job({ act: { sub: 'a', act: { sub: 'b', act: { sub: 'c' } } } }),
        actor_token: await world.agent(),
        actor_token_type: JWT,
        authorization_details: JSON.stringify([ASSISTED]),
      }),
    ],
    [
      'a delegated subject token as if it were the subject',
      /actor/,
      async () => ({ subject_token: await world.job({ act: { sub: 'somebody' } }) }),
    ],
    [
      'a token bound to a key that nobody proves',
      /cnf/,
      async () => ({ subject_token: await world.job({ cnf: { kid: 'its key' } }) }),
    ],
  ])('%s', async (_, reason, over) => {
    const parameters = await over();
    const before = world.target.calls.length;
    const answer = await exchange(parameters);
    expect([answer.status, answer.json]).toEqual([
      400,
      {
        error: 'invalid_request',
        error_description: 'The tokens are not accepted, or no policy allows this request',
      },
    ]);
    expect(await world.lastRefusal()).toMatch(reason);
    expect(world.target.calls).toHaveLength(before);
  });
});

test('token: what is granted is what was asked, and no more', async () => {
  const answer = await exchange({
    authorization_details: details({ credentials: ['db'], ttl_seconds: 60, parameters: { region: 'us' } }),
  });
  const [granted] = answer.json.authorization_details as [
    { parameters: object; credentials: { name: string; expires_at: string }[] },
  ];
  expect(granted.parameters).toEqual({ region: 'us' });
  expect(granted.credentials.map(({ name }) => name)).toEqual(['db']);
  expect(Date.parse(granted.credentials[0]!.expires_at)).toBeLessThanOrEqual(world.runtime.now() + 60_000);
});

test('token: with a key to seal for, nothing comes in clear, and a repeat gives the same again', async () => {
  const { jwk } = await createProver();
  const over = {
    authorization_details: details({ public_key: { kty: 'EC', crv: jwk.crv, x: jwk.x, y: jwk.y } }),
  };
  const first = await exchange(over, { 'idempotency-key': 'run-1' });
  expect(first.json.access_token).toMatch(/^[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+$/);
  expect(first.text).not.toMatch(/hpt_|"secret"/);
  const again = await exchange(over, { 'idempotency-key': 'run-1' });
  expect(again.json.access_token).toBe(first.json.access_token);
});

test('token: evidence of the subject and of the actor are both used up', async () => {
  const [subject, other, actor] = [await world.job(), await world.job(), await world.agent()];
  const over = {
    actor_token: actor,
    actor_token_type: JWT,
    authorization_details: JSON.stringify([ASSISTED]),
  };
  expect((await exchange({ ...over, subject_token: subject })).status).toBe(200);
  expect((await exchange({ ...over, subject_token: other })).status).toBe(400);
  expect(await world.lastRefusal()).toContain('replayed');
  const fresh = { ...over, actor_token: await world.agent(), subject_token: subject };
  expect((await exchange(fresh)).status).toBe(400);
  expect(await world.lastRefusal()).toContain('replayed');
});

test('token: a target that fails is told as unavailable, and nothing is left', async () => {
  world.target.fault = (call, phase) => {
    if (call === 'mint' && phase === 'before') throw new ProviderError('target-refused', 'no such role');
  };
  expect(await exchange()).toMatchObject({ status: 503, error: 'temporarily_unavailable' });
});

describe('token: with a proof of possession', () => {
  const path = '/oauth/token';

  test('binds the token to its key; a proof for another URL, method or time, or replayed, binds nothing', async () => {
    const prover = await createProver();
    const about = { url: `${world.url}${path}`, now: world.runtime.now() };
    const good = await prover.prove(about);
    expect((await exchange({}, { dpop: good })).json.token_type).toBe('DPoP');
    expect(await exchange({}, { dpop: good })).toMatchObject({ status: 400, error: 'invalid_request' });
    expect(await world.lastRefusal()).toContain('replayed');
    for (const bad of [
      await prover.prove({ ...about, url: `${world.url}/v1/tasks` }),
      await prover.prove({ ...about, method: 'GET' }),
      'x.y.z',
      `${await prover.prove(about)}, ${await prover.prove(about)}`,
    ])
      expect(await exchange({}, { dpop: bad })).toMatchObject({ status: 400, error: 'invalid_dpop_proof' });
    const old = await exchange({}, { dpop: await prover.prove({ ...about, now: about.now - 120_000 }) });
    expect(old.error).toBe('use_dpop_nonce');
    const nonce = old.headers.get('dpop-nonce') ?? '';
    const renewed = await prover.prove({ ...about, now: about.now - 120_000 }, { claims: { nonce } });
    expect((await exchange({}, { dpop: renewed })).status).toBe(200);
  });
});

describe('revoke', () => {
  const revoke = (token: string, headers = {}) => send('/oauth/revoke', `token=${token}`, headers);

  test('ends the task, and says so again', async () => {
    const token = await tokenOf();
    expect((await revoke(token)).status).toBe(200);
    expect((await revoke(token)).status).toBe(200);
  });

  test('knows nothing of what is not a token of a task, and does not complain', async () => {
    const unknown = `hpt_${'0'.repeat(26)}_${'A'.repeat(43)}`;
    for (const token of ['x', unknown, await world.job()]) {
      const answer = await revoke(token);
      expect([answer.status, answer.json]).toEqual([200, {}]);
    }
    expect((await send('/oauth/revoke', '')).error).toBe('invalid_request');
  });

  test('says 503 while a credential is still being revoked at its target, and 200 once it is gone', async () => {
    const token = await tokenOf();
    world.target.fault = (call) => {
      if (call === 'end') throw new ProviderError('target-unreachable', 'no answer');
    };
    const pending = await revoke(token);
    expect(pending).toMatchObject({ status: 503, error: 'temporarily_unavailable' });
    expect(Number(pending.headers.get('retry-after'))).toBeGreaterThan(0);
    world.target.fault = () => {};
    world.runtime.jump(10_000);
    await world.hallpass.reap();
    expect((await revoke(token)).status).toBe(200);
  });

  test('a bound token takes its proof', async () => {
    const prover = await createProver();
    const prove = (path: string) => prover.prove({ url: `${world.url}${path}`, now: world.runtime.now() });
    const token = await tokenOf({}, { dpop: await prove('/oauth/token') });
    expect((await revoke(token)).error).toBe('invalid_dpop_proof');
    expect((await revoke(token, { dpop: await prove('/oauth/token') })).error).toBe('invalid_dpop_proof');
    expect((await revoke(token, { dpop: await prove('/oauth/revoke') })).status).toBe(200);
  });
});

describe('introspect', () => {
  const introspect = (token: string, as: string) =>
    send('/oauth/introspect', `token=${token}`, as === '' ? {} : { authorization: `Bearer ${as}` });

  test('is for the holder, operators and auditors', async () => {
    const [mine, other] = [await tokenOf(), await tokenOf()];
    expect((await introspect(mine, mine)).json.active).toBe(true);
    expect((await introspect(mine, other)).json).toEqual({ active: false });
    expect((await introspect(mine, await world.operator())).json.active).toBe(true);
    expect(await introspect(mine, await world.job())).toMatchObject({
      status: 403,
      error: 'insufficient_scope',
    });
    expect(await world.lastRefusal()).toContain('role');
    expect(await introspect(mine, '')).toMatchObject({ status: 401, error: 'invalid_token' });
    expect(await introspect(mine, 'x')).toMatchObject({ status: 401, error: 'invalid_token' });
  });

  test('says of what is no live token that it is not active, and nothing else', async () => {
    const token = await tokenOf();
    await send('/oauth/revoke', `token=${token}`);
    for (const dead of [token, 'x', `${token}x`, await world.job()])
      expect((await introspect(dead, await world.operator())).json).toEqual({ active: false });
  });
});

test('metadata: names itself, where things are, and what it can do', async () => {
  const answer = await fetch(`${world.url}/.well-known/oauth-authorization-server`);
  expect(await answer.json()).toMatchObject({
    issuer: world.url,
    token_endpoint: `${world.url}/oauth/token`,
    token_endpoint_auth_methods_supported: ['none'],
    authorization_details_types_supported: ['hallpass_task'],
  });
});

test('GET on the endpoints is not served', async () => {
  for (const path of ['/oauth/token', '/oauth/revoke', '/oauth/introspect'])
    expect((await fetch(`${world.url}${path}?token=x`)).status).toBe(404);
});
