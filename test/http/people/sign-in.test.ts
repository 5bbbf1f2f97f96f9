import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemRuntime } from '../../../src/runtime.ts';
import { createTestRuntime, type TestRuntime } from '../../support/runtime.ts';
import { postgresStore } from '../../support/stores.ts';
import { createUserAgent, type UserAgent } from '../../support/user-agent.ts';
import { createPeopleWorld, formIn, type PeopleWorld } from './world.ts';

let world: PeopleWorld;
let runtime: TestRuntime;

beforeAll(async () => {
  runtime = createTestRuntime({ now: Date.now(), runs: true });
  world = await createPeopleWorld({ runtime });
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const SESSION = 'hallpass-session';
const FLOW = 'hallpass-sign-in';

const jarOf = (agent: UserAgent, { url } = world) => agent.cookies.get(url) ?? new Map<string, string>();
const isCallback = (url: URL) => url.pathname === '/sign-in/callback';

/** A sign-in up to the answer of the provider, which is not sent yet. */
async function upToCallback(
  name: string,
  path = '/sign-in',
): Promise<{ agent: UserAgent; callback: string }> {
  const agent = createUserAgent();
  world.provider.signInAs(name);
  const { url } = await agent.follow(`${world.url}${path}`, isCallback);
  return { agent, callback: url };
}

const isSignedIn = async (agent: UserAgent, at = world.url, of = world) => {
  const cookie = [...jarOf(agent, of)].map(([name, value]) => `${name}=${value}`).join('; ');
  return (await agent.send(`${at}/requests`, { headers: { cookie } })).status === 200;
};

describe('sign-in', () => {
  it('begins a session whose principal is that of the bearer token, and logs it', async () => {
    const agent = await world.signedIn('ada');
    const response = await agent.send(`${world.url}/requests`);
    expect(await response.text()).toContain('Signed in as <bdi>ada@acme.example</bdi>');
    const [event] = (await world.events('signin.succeeded')).slice(-1);
    expect(event).toMatchObject({
      actor: { kind: 'principal', issuer: 'staff', subject: 'ada' },
      data: { claims: { groups: ['approvers'], aud: 'hallpass-web' }, proof: { method: 'oidc' } },
    });
    expect(JSON.stringify(event)).not.toContain(jarOf(agent).get(SESSION)!);
    expect(world.logged.join('')).not.toContain(jarOf(agent).get(SESSION)!);
  });

  it('sends code, PKCE, state and nonce, and nothing that would finish the flow', async () => {
    const agent = createUserAgent();
    const response = await agent.send(`${world.url}/sign-in`);
    const asked = new URL(response.headers.get('location')!).searchParams;
    expect(asked.get('response_type')).toBe('code');
    expect(asked.get('code_challenge_method')).toBe('S256');
    expect(asked.get('redirect_uri')).toBe(`${world.url}/sign-in/callback`);
    expect(asked.get('state')).toHaveLength(43);
    expect(asked.get('nonce')).toHaveLength(43);
    const [cookie] = response.headers.getSetCookie();
    expect(cookie).toMatch(/^hallpass-sign-in=[\w-]+; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/);
    for (const name of ['state', 'nonce']) expect(cookie).not.toContain(asked.get(name)!);
  });

  it('fixation: a session that was there before is not taken over, and ends', async () => {
    const attacker = await world.signedIn('mallory');
    const planted = jarOf(attacker).get(SESSION)!;
    const { agent, callback } = await upToCallback('ada');
    jarOf(agent).set(SESSION, planted);
    expect((await agent.send(callback)).status).toBe(303);
    expect(jarOf(agent).get(SESSION)).not.toBe(planted);
    expect(await isSignedIn(agent)).toBe(true);
    expect(await isSignedIn(attacker)).toBe(false);
    expect((await world.events('signin.ended')).at(-1)).toMatchObject({
      actor: { subject: 'mallory' },
      data: { reason: 'replaced' },
    });
  });

  it('a token of a session that was never given out begins nothing', async () => {
    const agent = createUserAgent();
    agent.cookies.set(world.url, new Map([[SESSION, `hps_${'a'.repeat(43)}`]]));
    expect(await isSignedIn(agent)).toBe(false);
  });

  it('a replayed callback gives no second session, not even with the cookie kept', async () => {
    const { agent, callback } = await upToCallback('ada');
    const flow = jarOf(agent).get(FLOW)!;
    expect((await agent.send(callback)).status).toBe(303);
    expect(jarOf(agent).has(FLOW)).toBe(false);
    expect((await agent.send(callback)).status).toBe(400);
    const thief = createUserAgent();
    thief.cookies.set(world.url, new Map([[FLOW, flow]]));
    expect((await thief.send(callback)).status).toBe(403);
    expect(jarOf(thief).has(SESSION)).toBe(false);
  });

  it('a stolen answer is good in no other browser', async () => {
    const { callback } = await upToCallback('ada');
    const thief = createUserAgent();
    expect((await thief.send(callback)).status).toBe(400);
    // Nor in one that began a sign-in of its own: its state, its nonce and its verifier are others.
    const { agent } = await upToCallback('mallory');
    expect((await agent.send(callback)).status).toBe(400);
    const state = new URL((await createUserAgent().send(`${world.url}/sign-in`)).headers.get('location')!);
    const forged = new URL(callback);
    forged.searchParams.set('state', state.searchParams.get('state')!);
    expect((await agent.send(forged.href)).status).toBe(400);
    expect(jarOf(agent).has(SESSION)).toBe(false);
    const refused = await world.events('signin.refused');
    expect(refused.at(-1)).toMatchObject({ data: { detail: expect.stringContaining('mismatch') } });
  });

  it('a stolen code is good for no other flow: PKCE', async () => {
    const { callback } = await upToCallback('ada');
    const { agent, callback: own } = await upToCallback('mallory');
    const injected = new URL(own);
    injected.searchParams.set('code', new URL(callback).searchParams.get('code')!);
    expect((await agent.send(injected.href)).status).toBe(403);
    expect(jarOf(agent).has(SESSION)).toBe(false);
  });

  it('an answer that names another issuer is refused (RFC 9207)', async () => {
    const { agent, callback } = await upToCallback('ada');
    const mixed = new URL(callback);
    mixed.searchParams.set('iss', 'https://evil.example');
    expect((await agent.send(mixed.href)).status).toBe(400);
  });

  it('a denial at the provider signs nobody in, and says so', async () => {
    world.provider.denying = true;
    try {
      const agent = createUserAgent();
      world.provider.signInAs(null);
      const { response, body } = await agent.follow(`${world.url}/sign-in`);
      expect(response.status).toBe(403);
      expect(body).toContain('denied');
      expect((await world.events('signin.refused')).at(-1)).toMatchObject({
        data: { detail: 'denied: the provider answered "access_denied"' },
      });
    } finally {
      world.provider.denying = false;
    }
  });

  it('a sign-in that took too long is not finished', async () => {
    const { agent, callback } = await upToCallback('ada');
    runtime.jump(10 * 60_000);
    expect((await agent.send(callback)).status).toBe(400);
  });

  it.each([
    '//evil.example/',
    'https://evil.example/requests',
    '/\\evil.example',
    '/requests/../../evil',
    '/requests/01arz3ndektsv4rrffq69g5fav?next=//evil.example',
    'javascript:alert(1)',
    '/sign-out',
  ])('open redirect: %s leads to the list', async (target) => {
    const { agent, callback } = await upToCallback('ada', `/sign-in?return_to=${encodeURIComponent(target)}`);
    const response = await agent.send(callback);
    expect(response.headers.get('location')).toBe('/requests');
  });

  it('leads back to the request that the person came for', async () => {
    const request = await world.ask('the disk is full');
    const agent = createUserAgent();
    world.provider.signInAs('ada');
    const { url, body } = await agent.follow(`${world.url}/requests/${request.id}`);
    expect(url).toBe(`${world.url}/requests/${request.id}`);
    expect(body).toContain('the disk is full');
  });
});

describe('a session', () => {
  it('signing out ends it in the store', async () => {
    const agent = await world.signedIn('ada');
    const { form } = formIn(await (await agent.send(`${world.url}/requests`)).text());
    const kept = new Map(jarOf(agent));
    expect((await agent.send(`${world.url}/sign-out`, { form: { form } })).status).toBe(303);
    expect(jarOf(agent).has(SESSION)).toBe(false);
    agent.cookies.set(world.url, kept);
    expect(await isSignedIn(agent)).toBe(false);
    expect((await world.events('signin.ended')).at(-1)).toMatchObject({ data: { reason: 'signed-out' } });
  });

  it('nobody else signs a person out', async () => {
    const agent = await world.signedIn('ada');
    const { form } = formIn(await (await agent.send(`${world.url}/requests`)).text());
    const out = `${world.url}/sign-out`;
    expect((await agent.send(out, { form: {} })).status).toBe(403);
    expect(
      (await agent.send(out, { form: { form }, headers: { origin: 'https://evil.example' } })).status,
    ).toBe(403);
    expect((await agent.send(out)).status).toBe(404);
    expect(await isSignedIn(agent)).toBe(true);
  });

  it('with two cookies of its name, neither counts', async () => {
    const agent = await world.signedIn('ada');
    const token = jarOf(agent).get(SESSION)!;
    const cookie = `${SESSION}=hps_${'b'.repeat(43)}; ${SESSION}=${token}`;
    expect((await agent.send(`${world.url}/requests`, { headers: { cookie } })).status).toBe(303);
  });

  it('is no bearer token', async () => {
    const agent = await world.signedIn('linus');
    const authorization = `Bearer ${jarOf(agent).get(SESSION)}`;
    const answer = await fetch(`${world.url}/v1/requests`, { headers: { authorization } });
    expect(answer.status).toBe(401);
    expect((await agent.send(`${world.url}/v1/requests`)).status).toBe(401);
  });

  it('a kill of its identity ends it for good, and keeps the person out until it is lifted', async () => {
    const [before, other] = [await world.signedIn('grace'), await world.signedIn('ada')];
    const { kill } = await world.operator.kill({ issuer: 'staff', subject: 'grace', reason: 'phone lost' });
    expect(await isSignedIn(before)).toBe(false);
    expect(await isSignedIn(other)).toBe(true);
    const { agent, callback } = await upToCallback('grace');
    expect((await agent.send(callback)).status).toBe(403);
    expect((await world.events('signin.refused')).at(-1)).toMatchObject({
      data: { detail: expect.stringContaining('block') },
    });
    await world.operator.liftBlock(kill.id, 'found');
    runtime.jump(1);
    expect(await isSignedIn(before)).toBe(false);
    expect(await isSignedIn(await world.signedIn('grace'))).toBe(true);
  });

  it('a kill ends also the session that nobody used while its block stood', async () => {
    const unused = await world.signedIn('grace');
    runtime.jump(1);
    const { kill } = await world.operator.kill({ issuer: 'staff', reason: 'the provider was broken into' });
    await world.operator.liftBlock(kill.id, 'mended');
    runtime.jump(1);
    expect(await isSignedIn(unused)).toBe(false);
  });

  it('a kill about something else leaves it alone', async () => {
    const agent = await world.signedIn('grace');
    const { kill } = await world.operator.kill({ issuer: 'staff', grant: 'repair', reason: 'a bad grant' });
    expect(await isSignedIn(agent)).toBe(true);
    await world.operator.liftBlock(kill.id, 'mended');
  });

  it('ends when nobody uses it, and the log says so even if nobody ever comes back', async () => {
    const [agent, forgotten] = [await world.signedIn('ada'), await world.signedIn('mallory')];
    runtime.jump(6 * 60_000);
    expect(await isSignedIn(agent)).toBe(true);
    runtime.jump(6 * 60_000);
    expect(await isSignedIn(agent)).toBe(true);
    // The housekeeping finds it.
    await runtime.advance(31_000);
    await expect
      .poll(() => world.events('signin.ended').then((all) => all.at(-1)))
      .toMatchObject({
        actor: { subject: 'mallory' },
        data: { reason: 'idle' },
      });
    expect(await isSignedIn(forgotten)).toBe(false);
  });

  it('lives no longer than its token, however much it is used', async () => {
    const agent = await world.signedIn('ada');
    const begun = (await world.events('signin.succeeded')).at(-1)?.data as { expiresAt: string };
    const endsAt = Date.parse(begun.expiresAt);
    // The provider's tokens last an hour; the configuration would allow two.
    expect(endsAt - runtime.now()).toBeLessThanOrEqual(3_600_000);
    while (runtime.now() + 5 * 60_000 < endsAt) {
      runtime.jump(5 * 60_000);
      expect(await isSignedIn(agent)).toBe(true);
    }
    runtime.jump(endsAt - runtime.now());
    expect(await isSignedIn(agent)).toBe(false);
    expect((await world.events('signin.ended')).at(-1)).toMatchObject({ data: { reason: 'expired' } });
  });
});

it('a session is known to every replica, with the roles that each gives now', async (ctx) => {
  const postgres = await postgresStore();
  if (!postgres.ok) return ctx.skip(postgres.reason);
  {
    // Over one Postgres the clocks of all have to be right, and so this one is real.
    await using shared = await createPeopleWorld({
      runtime: systemRuntime,
      databaseUrl: await postgres.freshUrl(),
    });
    const replica = await shared.replica([
      ['{ groups: { contains: platform } }', '{ groups: { contains: nobody } }'],
    ]);
    const request = await shared.ask('shared');
    const agent = await shared.signedIn('linus', `/requests/${request.id}`);
    expect(await isSignedIn(agent, replica, shared)).toBe(true);
    const { form } = formIn(await (await agent.send(`${shared.url}/requests`)).text());
    const cookie = `${SESSION}=${jarOf(agent, shared).get(SESSION)}`;
    await agent.send(`${replica}/sign-out`, { form: { form }, headers: { cookie, origin: shared.url } });
    expect(await isSignedIn(agent, shared.url, shared)).toBe(false);
  }
  await postgres.store.stop();
});
