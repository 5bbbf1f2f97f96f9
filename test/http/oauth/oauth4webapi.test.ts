import * as oauth from 'oauth4webapi';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type OAuthWorld, openOAuthWorld } from './world.ts';

/** The main job with a client that is not ours, over real sockets. */

const insecure = { [oauth.allowInsecureRequests]: true };
const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const client: oauth.Client = { client_id: 'anything' };
let world: OAuthWorld;
let server: oauth.AuthorizationServer;

beforeAll(async () => {
  world = await openOAuthWorld();
  const issuer = new URL(world.url);
  const found = await oauth.discoveryRequest(issuer, { ...insecure, algorithm: 'oauth2' });
  server = await oauth.processDiscoveryResponse(issuer, found);
});
afterAll(() => world.close());

interface Granted {
  readonly type: string;
  readonly task_id: string;
  readonly parameters: Record<string, unknown>;
  readonly credentials: {
    readonly name: string;
    readonly lease_id: string;
    readonly expires_at: string;
    readonly secret: { readonly type: string; readonly values: Record<string, string> };
  }[];
}
const grantedBy = (answer: oauth.TokenEndpointResponse): Granted =>
  (answer.authorization_details as unknown as Granted[])[0]!;

async function exchange(over: Record<string, string> = {}, options: oauth.TokenEndpointRequestOptions = {}) {
  const parameters = {
    subject_token: await world.job(),
    subject_token_type: JWT,
    authorization_details: JSON.stringify([{ type: 'hallpass_task', grant: 'report', task: 'nightly' }]),
    ...over,
  };
  const request = () =>
    oauth.genericTokenEndpointRequest(server, client, oauth.None(), GRANT_TYPE, parameters, {
      ...insecure,
      ...options,
    });
  try {
    return await oauth.processGenericTokenEndpointResponse(server, client, await request());
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return oauth.processGenericTokenEndpointResponse(server, client, await request());
  }
}

const revoke = (token: string) => oauth.revocationRequest(server, client, oauth.None(), token, insecure);

async function introspect(token: string, as: string) {
  const bearer: oauth.ClientAuth = (_server, _client, _body, headers) =>
    headers.set('authorization', `Bearer ${as}`);
  const answer = await oauth.introspectionRequest(server, client, bearer, token, insecure);
  return oauth.processIntrospectionResponse(server, client, answer);
}

test('oauth4webapi: discovers, exchanges, uses, introspects and revokes', async () => {
  const answer = await exchange();
  expect(answer).toMatchObject({
    token_type: 'bearer',
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    expires_in: 4 * 3600,
  });
  const granted = grantedBy(answer);
  expect(granted).toMatchObject({ type: 'hallpass_task', parameters: { region: 'eu' } });
  const credential = granted.credentials[0]!;
  expect(world.target.use(credential.secret)).toBe(true);

  const token = answer.access_token;
  const live = await introspect(token, token);
  expect(live).toMatchObject({ active: true, iss: world.url, sub: 'repo:acme/etl', jti: granted.task_id });
  expect(JSON.stringify(live)).not.toContain(credential.secret.values.password);

  await oauth.processRevocationResponse(await revoke(token));
  expect(world.target.use(credential.secret)).toBe(false);
  expect(await introspect(token, await world.operator())).toEqual({ active: false });
  expect((await world.hallpass.events()).map((event) => event.kind)).toEqual([
    'task.opened',
    'lease.intended',
    'lease.issued',
    'task.ended',
    'lease.ending',
    'lease.ended',
    'disclosed',
  ]);
});

test('oauth4webapi: with DPoP the token is of no use to whoever steals it', async () => {
  const key = await oauth.generateKeyPair('ES256');
  const DPoP = oauth.DPoP(client, key);
  const answer = await exchange({}, { DPoP });
  expect(answer.token_type).toBe('dpop');
  const token = answer.access_token;
  const heartbeat = new URL(`${world.url}/v1/tasks/${grantedBy(answer).task_id}/heartbeat`);

  const mine = await oauth.protectedResourceRequest(token, 'POST', heartbeat, undefined, undefined, {
    ...insecure,
    DPoP,
  });
  expect(mine.status).toBe(200);
  const bare = { method: 'POST', headers: { authorization: `Bearer ${token}` } };
  expect((await fetch(heartbeat, bare)).status).toBe(401);
  const thief = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
  await expect(
    oauth.protectedResourceRequest(token, 'POST', heartbeat, undefined, undefined, {
      ...insecure,
      DPoP: thief,
    }),
  ).rejects.toMatchObject({ status: 401 });
  // Neither can he end the task.
  expect((await revoke(token)).status).toBe(400);
  expect(await introspect(token, await world.operator())).toMatchObject({
    active: true,
    token_type: 'DPoP',
    cnf: { jkt: await DPoP.calculateThumbprint() },
  });
});

test('oauth4webapi: a client whose clock is wrong gets a nonce, and goes on with it', async () => {
  const slow: oauth.Client = { ...client, [oauth.clockSkew]: -3_600 };
  const DPoP = oauth.DPoP(slow, await oauth.generateKeyPair('ES256'));
  const answer = await exchange({}, { DPoP });
  expect(answer.token_type).toBe('dpop');
  expect(await world.lastRefusal()).toContain('"iat" is not of now');
});

test('oauth4webapi: an agent acts for a job, and the token says so', async () => {
  const details = [{ type: 'hallpass_task', grant: 'assisted', task: 'nightly', purpose: 'INC-7' }];
  const answer = await exchange({
    actor_token: await world.agent(),
    actor_token_type: JWT,
    authorization_details: JSON.stringify(details),
  });
  expect(await introspect(answer.access_token, answer.access_token)).toMatchObject({
    sub: 'repo:acme/etl',
    act: { iss: 'agents', sub: 'agent-7' },
  });
  const opened = (await world.hallpass.events()).findLast((event) => event.kind === 'task.opened');
  expect(opened).toMatchObject({
    actor: { issuer: 'ci', subject: 'repo:acme/etl', actors: [{ issuer: 'agents', subject: 'agent-7' }] },
    data: {
      purpose: 'INC-7',
      actors: [{ subject: 'agent-7', claims: { sub: 'agent-7' }, proof: { method: 'oidc' } }],
    },
  });
});

test('oauth4webapi: hears of a denial as an error of the standard', async () => {
  const wide = JSON.stringify([{ type: 'hallpass_task', grant: 'report', task: 'other' }]);
  await expect(exchange({ authorization_details: wide })).rejects.toMatchObject({ error: 'invalid_request' });
});
