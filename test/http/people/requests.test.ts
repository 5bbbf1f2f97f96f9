import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApprovalRequest } from '../../../src/http/contract.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import type { UserAgent } from '../../support/user-agent.ts';
import { createPeopleWorld, formIn, type PeopleWorld } from './world.ts';

let world: PeopleWorld;
let ada: UserAgent;

beforeAll(async () => {
  world = await createPeopleWorld({
    runtime: systemRuntime,
    grants: `
  twice:
    who: [{ issuer: ci, claims: { repository_id: "42" } }]
    tasks: [{ glob: repair-* }]
    parameters: { host: { type: string, max_length: 80 } }
    approval:
      stages: [{ approvals: 2, from: [{ issuer: staff, claims: { groups: { contains: approvers } } }] }]
    credentials:
      db: { target: warehouse, ttl: { default: 15m, max: 1h, cap: 4h }, scope: { role: repair } }
`,
  });
  ada = await world.signedIn('ada');
});
afterAll(() => world?.[Symbol.asyncDispose]());

const pageOf = ({ id }: ApprovalRequest) => `${world.url}/requests/${id}`;
const read = (id: string) => world.operator.readRequest(id);

async function open(
  agent: UserAgent,
  request: ApprovalRequest,
): Promise<{ form: string; digest: string; body: string }> {
  const body = await (await agent.send(pageOf(request))).text();
  return { ...formIn(body), body };
}

describe('the page of a request', () => {
  it('shows who asks, what exactly, why, for how long, and the digest', async () => {
    const request = await world.ask('the orders are stuck');
    const { body, digest } = await open(ada, request);
    expect(digest).toBe(request.digest);
    for (const text of [
      'repo:acme/etl',
      'the orders are stuck',
      request.task,
      'repair',
      'warehouse',
      '15 minutes',
      request.digest,
    ])
      expect(body).toContain(text);
    const list = await (await ada.send(`${world.url}/requests`)).text();
    expect(list).toContain(`href="/requests/${request.id}"`);
  });

  it('is for those who may see it, and for others as if it were not there', async () => {
    const request = await world.ask('not for guests');
    const mallory = await world.signedIn('mallory');
    const answer = await mallory.send(pageOf(request));
    expect(answer.status).toBe(404);
    expect(await answer.text()).not.toContain('not for guests');
    expect(await (await mallory.send(`${world.url}/requests`)).text()).toContain('Nothing waits for you');
    const { form } = formIn(await (await mallory.send(`${world.url}/requests`)).text());
    const posted = await mallory.send(`${pageOf(request)}/approve`, {
      form: { form, digest: request.digest },
    });
    expect(posted.status).toBe(404);
    expect((await read(request.id)).approvals).toEqual([]);
  });

  it('approves by the same verb as the API, and shorter where that is asked', async () => {
    const request = await world.ask('short');
    const { form, digest } = await open(ada, request);
    const sent = await ada.send(`${pageOf(request)}/approve`, { form: { form, digest, minutes: '5' } });
    expect(sent.status).toBe(303);
    expect(sent.headers.get('location')).toBe(`/requests/${request.id}?done=approve`);
    expect(await read(request.id)).toMatchObject({
      state: 'approved',
      approvals: [{ by: { issuer: 'staff', subject: 'ada' }, ttl_seconds: 300 }],
    });
  });

  it.each(['0', '-5', '1.5', '1e3', 'all'])(
    '%s minutes are refused, and approve nothing',
    async (minutes) => {
      const request = await world.ask('odd minutes');
      const { form, digest } = await open(ada, request);
      const sent = await ada.send(`${pageOf(request)}/approve`, { form: { form, digest, minutes } });
      expect(sent.status).toBe(400);
      expect((await read(request.id)).approvals).toEqual([]);
    },
  );

  it('approves what it showed and nothing else: the form is bound to the digest', async () => {
    const [shown, other] = [await world.ask('harmless'), await world.ask('drop it all')];
    const { form, digest } = await open(ada, shown);
    const sent = await ada.send(`${pageOf(other)}/approve`, { form: { form, digest } });
    expect(sent.status).toBe(403);
    expect(await (await ada.send(`${pageOf(other)}/approve`, { form: { form } })).text()).toContain(
      'Nothing was changed',
    );
    expect((await read(other.id)).approvals).toEqual([]);
  });

  it('denies with a reason, and not without', async () => {
    const request = await world.ask('please');
    const { form } = await open(ada, request);
    expect((await ada.send(`${pageOf(request)}/deny`, { form: { form, reason: '  ' } })).status).toBe(400);
    expect((await read(request.id)).state).toBe('pending');
    expect((await ada.send(`${pageOf(request)}/deny`, { form: { form, reason: 'not now' } })).status).toBe(
      303,
    );
    expect(await read(request.id)).toMatchObject({ state: 'denied', reason: 'not now' });
    expect((await open(ada, request)).body).not.toContain('<button type="submit" class="go">');
  });

  it('an approved request that is not opened yet can still be denied, and not approved again', async () => {
    const request = await world.ask('on second thought');
    const { form, digest } = await open(ada, request);
    await ada.send(`${pageOf(request)}/approve`, { form: { form, digest } });
    const { body } = await open(ada, request);
    expect(body).not.toContain('class="go"');
    expect((await ada.send(`${pageOf(request)}/deny`, { form: { form, reason: 'no' } })).status).toBe(303);
    expect((await read(request.id)).state).toBe('denied');
  });

  it('a link says nothing that is not so', async () => {
    const request = await world.ask('a tale');
    for (const done of ['approve', 'deny']) {
      const body = await (await ada.send(`${pageOf(request)}?done=${done}`)).text();
      expect(body).not.toContain('class="note');
    }
  });

  it('lets nobody approve what he asked, and offers no button for it', async () => {
    const linus = await world.signedIn('linus');
    const request = await asLinus('my own');
    const { body, form } = await open(linus, request);
    expect(body).toContain('You asked for this yourself');
    expect(body).not.toContain('/approve');
    const list = formIn(await (await linus.send(`${world.url}/requests`)).text());
    expect(list.form).toBe(form);
    const sent = await linus.send(`${pageOf(request)}/approve`, { form: { form, digest: request.digest } });
    expect(sent.status).toBe(403);
    expect(await read(request.id)).toMatchObject({ state: 'pending', approvals: [] });
    expect((await world.events('request.refused')).at(-1)).toMatchObject({
      actor: { issuer: 'staff', subject: 'linus' },
      data: { request: 'approve-request', detail: expect.stringContaining('his own request') },
    });
  });

  it('counts nobody twice', async () => {
    const request = await world.askFor('twice', 'both of you', { host: 'db1' });
    const { form, digest } = await open(ada, request);
    const post = () => ada.send(`${pageOf(request)}/approve`, { form: { form, digest } });
    expect([(await post()).status, (await post()).status]).toEqual([303, 403]);
    expect(await read(request.id)).toMatchObject({ state: 'pending', waiting_stage: 0 });
    const grace = await world.signedIn('grace');
    expect((await open(grace, request)).body).toContain('2 approvals, waits now');
    await grace.send(`${pageOf(request)}/approve`, { form: { ...(await open(grace, request)) } });
    expect((await read(request.id)).state).toBe('approved');
  });

  it('makes what could deceive visible, and runs nothing', async () => {
    const purpose = '</bdi><script>alert(1)</script>" onload=x \u202Egnp.exe\u200B\u3164 ok';
    const request = await world.askFor('twice', purpose, { host: '<img src=x onerror=alert(2)>\u2066' });
    for (const url of [pageOf(request), `${world.url}/requests`]) {
      const response = await ada.send(url);
      const body = await response.text();
      expect(body).toContain(
        '&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=x <mark>U+202E</mark>gnp.exe<mark>U+200B</mark><mark>U+3164</mark> ok',
      );
      for (const odd of ['<script', '<img', '\u202e', '\u200b', '\u3164', '\u2066'])
        expect(body).not.toContain(odd);
      const policy = response.headers.get('content-security-policy');
      expect(policy).toMatch(
        /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'$/,
      );
      expect(response.headers.get('cache-control')).toBe('no-store');
    }
    expect((await open(ada, request)).body).toContain(
      '&lt;img src=x onerror=alert(2)&gt;<mark>U+2066</mark>',
    );
  });
});

describe('forms', () => {
  const attempts: readonly [string, Record<string, string>, (form: string) => Record<string, string>][] = [
    ['from another origin', { origin: 'https://evil.example' }, (form) => ({ form })],
    ['from another site, by the browser', { 'sec-fetch-site': 'cross-site' }, (form) => ({ form })],
    ['from a neighbour on the same site', { 'sec-fetch-site': 'same-site' }, (form) => ({ form })],
    ['from an opaque origin', { origin: 'null' }, (form) => ({ form })],
    ['without an origin', { origin: '' }, (form) => ({ form })],
    ['without its token', {}, () => ({})],
    ['with a token of nobody', {}, () => ({ form: 'x'.repeat(43) })],
  ];

  it.each(attempts)('%s: changes nothing, and the log says who and why', async (_what, headers, fields) => {
    const request = await world.ask('csrf');
    const { form, digest } = await open(ada, request);
    const sent = await ada.send(`${pageOf(request)}/approve`, { form: { digest, ...fields(form) }, headers });
    expect(sent.status).toBe(403);
    expect((await read(request.id)).approvals).toEqual([]);
    expect((await world.events('request.refused')).at(-1)).toMatchObject({
      actor: { subject: 'ada' },
      data: { request: 'approve-request', detail: expect.stringContaining('csrf') },
    });
  });

  it('with the token of another session: changes nothing', async () => {
    const request = await world.ask('cookie of another');
    const attacker = await world.signedIn('grace');
    const { form, digest } = await open(attacker, request);
    const sent = await ada.send(`${pageOf(request)}/approve`, { form: { form, digest } });
    expect(sent.status).toBe(403);
    expect((await read(request.id)).approvals).toEqual([]);
  });

  it('without a session: changes nothing, and leads to sign-in', async () => {
    const request = await world.ask('nobody');
    const origin = world.url;
    const body = new URLSearchParams({ digest: request.digest, form: 'x' });
    const answer = await fetch(`${pageOf(request)}/approve`, { method: 'POST', body, headers: { origin } });
    expect(answer.status).toBe(401);
    expect(await answer.text()).toContain('href="/sign-in"');
  });

  it('by GET change nothing', async () => {
    const request = await world.ask('get');
    const { form, digest } = await open(ada, request);
    const query = new URLSearchParams({ form, digest });
    expect((await ada.send(`${pageOf(request)}/approve?${query}`)).status).toBe(404);
    expect((await read(request.id)).approvals).toEqual([]);
  });
});

async function asLinus(purpose: string): Promise<ApprovalRequest> {
  return world.askFor('repair', purpose, {}, 'linus');
}
