import fc from 'fast-check';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Caller, OpenTask, RequestView } from '../../src/broker/verbs.ts';
import { createFollower } from '../../src/export/follower.ts';
import { type App, createApp } from '../../src/http/app.ts';
import { defaultHttpLimits } from '../../src/http/limits.ts';
import { prometheusMetrics } from '../../src/http/metrics.ts';
import type { Json } from '../../src/json.ts';
import { consumerOf, DEFAULT_EVENTS } from '../../src/notify/channel.ts';
import { type SlackWay, slackChannel } from '../../src/notify/slack/channel.ts';
import { createSlackDesk, type SlackApp, type SlackUser } from '../../src/notify/slack/desk.ts';
import { APPROVE, DENY } from '../../src/notify/slack/message.ts';
import { codeSpan, visible } from '../../src/notify/text.ts';
import { channelMessages } from '../../src/store/messages.ts';
import { type ClickOptions, type FakeSlack, linksIn, outsideCode, startFakeSlack } from '../fakes/slack.ts';
import { asking, callerOf, REPORT_GRANT, type TestBroker, value } from '../support/broker.ts';
import { openTestLog } from '../support/log.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let stage: Stage;
let hallpass: TestBroker;
let slack: FakeSlack;
let app: App;
let tell: () => Promise<void>;

const claim = (name: string, text: string) => ({
  name,
  path: [name],
  accepts: [{ text, matches: (given: Json) => given === text }],
});
const people = [
  { name: 'Ada', who: [{ issuer: 'ci', claims: [claim('person', 'ada')] }] },
] as unknown as TestBroker['broker']['people'];
const DBA = { team: 'dba' };
const users = new Map<string, SlackUser>([
  ['U0DBA', { issuer: 'ci', subject: 'dba', claims: DBA }],
  ['U0OTHERDBA', { issuer: 'ci', subject: 'dba-2', claims: DBA }],
  ['U0ADA', { issuer: 'ci', subject: 'ada@chat', claims: { ...DBA, person: 'ada' } }],
  ['U0INTERN', { issuer: 'ci', subject: 'intern', claims: { team: 'interns' } }],
]);

const grantOf = (approvals: number) => ({
  report: {
    ...(REPORT_GRANT as object),
    approval: { stages: [{ from: [{ issuer: 'ci', claims: DBA }], approvals }] },
  } as Json,
});

function person(subject: string, claims: Readonly<Record<string, Json>>): Caller {
  const caller = callerOf(claims);
  if (caller.kind !== 'principal') throw new Error('a principal');
  return { ...caller, principal: { ...caller.principal, subject } };
}
const asker = person('asker', { repository_id: '42' });

async function start(
  approvals = 1,
  way: Partial<SlackWay> = {},
  events: readonly string[] = DEFAULT_EVENTS,
): Promise<void> {
  hallpass = await stage.start({ grants: grantOf(approvals), people });
  const { broker, verbs } = hallpass;
  const { runtime } = stage;
  const settings = {
    kind: 'token',
    token: slack.token,
    channel: 'C0OPS',
    apiUrl: `${slack.url}/api`,
    ...way,
  };
  const messages = channelMessages(stage.database, 'ops');
  const channel = slackChannel(settings as SlackWay, { buttons: true, users, messages, runtime });
  const consumer = consumerOf({ name: 'ops', events, channel }, broker.url);
  const { sequence } = await openTestLog(stage.database, runtime);
  const follower = createFollower({ ...broker, holder: 'one' }, consumer);
  await follower.open();
  tell = async () => {
    await sequence();
    await follower.tick();
  };
  const apps = new Map<string, SlackApp>([
    ['ops', { signingSecret: slack.signingSecret, users, hooksOrigin: slack.url }],
  ]);
  app = createApp({
    verbs,
    runtime,
    limits: defaultHttpLimits,
    url: broker.url,
    log: pino({ level: 'silent' }),
    metrics: prometheusMetrics(new Registry()),
    ready: async () => ({ ready: true, reasons: [] }),
    version: '1.2.3',
    slack: createSlackDesk(broker, verbs, apps),
  });
}

beforeEach(async () => {
  stage = await createStage(store);
  const secret = () => Buffer.from(stage.runtime.randomBytes(24)).toString('hex');
  slack = await startFakeSlack({ token: secret(), signingSecret: secret() }, stage.runtime.now);
  await start();
});
afterEach(async () => {
  await stage.check();
  await slack.close();
  await stage.close();
});
afterAll(() => store.stop());

async function ask(over: Partial<OpenTask> = {}, by = asker): Promise<RequestView> {
  const answer = await hallpass.verbs.openTask(by, asking({ purpose: 'an incident', ...over }));
  if (answer.ok || answer.error.reason !== 'awaiting-approval') throw new Error(JSON.stringify(answer));
  await tell();
  return answer.error.view;
}

async function click(action: string, user: string, over: ClickOptions = {}): Promise<number> {
  return send(slack.click(slack.posted[0]!, action, user, over));
}

async function send({ headers, body }: { headers: Record<string, string>; body: string }): Promise<number> {
  return (await app.request('/slack/ops', { method: 'POST', headers, body })).status;
}

const stateOf = async (view: RequestView) =>
  value(await hallpass.verbs.readRequest(asker, view.request.id)).request;
const refusals = async () =>
  (await hallpass.events()).flatMap((event) => (event.kind === 'request.refused' ? [event.data.detail] : []));

test('slackChannel: shows who asks for what, why and for how long, with buttons', async () => {
  const view = await ask();
  const [posted] = slack.posted as [FakeSlack['posted'][0]];
  expect(posted.channel).toBe('C0OPS');
  for (const part of [
    'Who: `asker (ci)`',
    'Grant: `report`',
    'Task: `nightly`',
    'Why: `an incident`',
    'Parameter region: `eu`',
    'Credential db: `at warehouse, for 15m, at most 4h: {"role":"reader_eu"}`',
  ])
    expect(posted.mrkdwn).toContain(part);
  expect(posted.links).toEqual([`https://hallpass.example/requests/${view.request.id}|Read the request`]);
  expect(posted.buttons.map(({ action_id }) => action_id)).toEqual([APPROVE, DENY]);
});

test('slackChannel: the same by an incoming webhook', async () => {
  await slack.close();
  const secret = Buffer.from(stage.runtime.randomBytes(24)).toString('hex');
  slack = await startFakeSlack({ token: secret, signingSecret: secret }, stage.runtime.now);
  await start(1, { kind: 'webhook', url: `${slack.url}/services/T1/B1/x` });
  await ask();
  expect(slack.posted).toHaveLength(1);
});

test('slackChannel: an error that passes is waited out, one that stays is a refusal', async () => {
  slack.errors.push('ratelimited', 'internal_error', 'channel_not_found');
  await expect(ask()).rejects.toThrow('It said "ratelimited"');
  await expect(tell()).rejects.toThrow('It said "internal_error"');
  await expect(tell()).rejects.toThrow('It said "channel_not_found"');
  const counted = await stage.database.query({ name: 'r', text: 'select refusals from log_sink' }, []);
  expect(counted).toEqual([{ refusals: 1 }]);
  await tell();
  expect(slack.posted).toHaveLength(1);
});

describe('slackChannel: a message follows what comes of its request elsewhere', () => {
  const lead = person('lead', DBA);
  const approve = async (view: RequestView, by: Caller) =>
    value(
      await hallpass.verbs.approveRequest(by, view.request.id, {
        digest: view.request.digest,
        ttlSeconds: null,
      }),
    );
  const kept = () => stage.database.query({ name: 'kept', text: 'select * from channel_message' }, []);

  test.each<[string, string, (view: RequestView) => Promise<unknown>]>([
    ['approved', 'It is approved, by `lead (ci)`', (view) => approve(view, lead)],
    ['approved by a user', 'It is approved, by <@U0DBA>', (view) => approve(view, person('dba', DBA))],
    [
      'denied',
      'It is denied, by `lead (ci)`',
      async ({ request }) => value(await hallpass.verbs.denyRequest(lead, request.id, 'not today')),
    ],
    [
      'cancelled',
      'It is cancelled, by `asker (ci)`',
      async ({ request }) => value(await hallpass.verbs.cancelRequest(asker, request.id, 'not needed')),
    ],
  ])('%s', async (_, outcome, decide) => {
    const view = await ask();
    expect(await kept()).toHaveLength(1);
    await decide(view);
    await tell();
    const [changed] = slack.changed as [FakeSlack['posted'][0]];
    expect(changed).toMatchObject({ ts: slack.posted[0]?.ts, channel: 'C0OPS', buttons: [] });
    expect(changed.mrkdwn).toContain(`*${outcome}*`);
    expect(changed.mrkdwn).toContain('Why: `an incident`');
    // The news of it comes as well, and nothing is kept of what does not change again.
    expect(slack.posted).toHaveLength(2);
    expect(await kept()).toEqual([]);
  });

  test('expired', async () => {
    const view = await ask();
    await stage.runtime.advance(view.request.expiresAt - stage.runtime.now() + 1_000);
    await hallpass.reap();
    await tell();
    expect(slack.changed[0]).toMatchObject({ buttons: [] });
    expect(slack.changed[0]?.mrkdwn).toContain('*It has expired*');
  });

  test('one of two approvals leaves the buttons, the second takes them', async () => {
    await start(2);
    const view = await ask();
    await approve(view, lead);
    await tell();
    expect(slack.changed[0]?.mrkdwn).toContain('*One more approval; more are needed, by `lead (ci)`*');
    expect(slack.changed[0]?.buttons).toEqual(slack.posted[0]?.buttons);
    await send(slack.click(slack.changed[0]!, APPROVE, 'U0OTHERDBA'));
    expect(await stateOf(view)).toMatchObject({ state: 'approved' });
    await tell();
    expect(slack.changed[1]).toMatchObject({ buttons: [] });
  });

  test('where the channel is told of requests alone, and by a name', async () => {
    await start(1, { channel: '#ops' }, ['request.created']);
    await approve(await ask(), lead);
    await tell();
    expect(slack.posted).toHaveLength(1);
    expect(slack.changed).toMatchObject([{ channel: 'C0NAMED', buttons: [] }]);
  });

  test('what a name holds makes no mention and no format', async () => {
    await approve(await ask(), person('<!channel> `*x*` <@U0DBA>', DBA));
    await tell();
    expect(slack.changed[0]?.links.some((link) => /^[!@#]/.test(link))).toBe(false);
    expect(outsideCode(slack.changed[0]!.mrkdwn)).not.toMatch(/[<]!|\*x/);
  });

  test('an error that passes is waited out, and the news is told once', async () => {
    const view = await ask();
    await approve(view, lead);
    slack.errors.push('ratelimited');
    await expect(tell()).rejects.toThrow('It said "ratelimited"');
    expect(slack.posted).toHaveLength(1);
    await tell();
    expect(slack.changed).toHaveLength(1);
    expect(slack.posted).toHaveLength(2);
  });

  test.each(['message_not_found', 'edit_window_closed', 'cant_update_message'])(
    'a message that is gone or stays keeps nothing back: %s',
    async (error) => {
      const view = await ask();
      await approve(view, lead);
      slack.errors.push(error);
      await tell();
      expect(slack.changed).toEqual([]);
      expect(slack.posted).toHaveLength(2);
      expect(await kept()).toEqual([]);
    },
  );

  test('what it has nothing to say of goes by in one step, however much that is', async () => {
    const messages = channelMessages(stage.database, 'ops');
    const way = { kind: 'token', token: slack.token, channel: 'C0OPS', apiUrl: slack.url } as const;
    const channel = slackChannel(way, { buttons: true, users, messages, runtime: stage.runtime });
    const { steps } = consumerOf({ name: 'ops', events: ['request.created'], channel }, 'https://x.example');
    const entry = (kind: string, index: number) => ({ index, body: JSON.stringify({ kind, data: {} }) });
    const quiet = ['request.refused', 'request.redeemed', 'lease.ended', 'request.refused'].map(entry);
    expect(steps(quiet, 'x').map(({ entries }) => entries)).toEqual([4]);
    const decided = steps([...quiet, entry('request.denied', 4), entry('request.refused', 5)], 'x');
    expect(decided.map(({ entries }) => entries)).toEqual([5, 1]);
  });

  test('not by an incoming webhook, which does not tell where its message is', async () => {
    await start(1, { kind: 'webhook', url: `${slack.url}/services/T1/B1/x` });
    await approve(await ask(), lead);
    await tell();
    expect(slack.posted).toHaveLength(2);
    expect(slack.changed).toEqual([]);
  });
});

describe('createSlackDesk', () => {
  test('a click approves, as the principal of the user, and the message says so', async () => {
    const view = await ask();
    expect(await click(APPROVE, 'U0DBA')).toBe(200);
    expect(await stateOf(view)).toMatchObject({
      state: 'approved',
      approvals: [{ by: { issuer: 'ci', subject: 'dba' } }],
    });
    expect(slack.answered).toMatchObject([{ replace_original: true }]);
    const said = JSON.stringify(slack.answered[0]);
    expect(said).toContain('It is approved, by <@U0DBA>');
    expect(said).not.toContain(APPROVE);
    value(await hallpass.verbs.openTask(asker, asking({ purpose: 'an incident', request: view.request.id })));
  });

  test('a click denies', async () => {
    const view = await ask();
    await click(DENY, 'U0DBA');
    expect(await stateOf(view)).toMatchObject({ state: 'denied', reason: 'Denied in Slack by U0DBA' });
  });

  test('one of two approvals leaves the buttons for the other', async () => {
    await start(2);
    const view = await ask();
    await click(APPROVE, 'U0DBA');
    expect(await stateOf(view)).toMatchObject({ state: 'pending' });
    expect(JSON.stringify(slack.answered[0])).toContain(APPROVE);
    await click(APPROVE, 'U0DBA');
    expect(await stateOf(view)).toMatchObject({ state: 'pending' });
    await click(APPROVE, 'U0OTHERDBA');
    expect(await stateOf(view)).toMatchObject({ state: 'approved' });
  });

  test('refuses what Slack did not sign, in every way to forge it', async () => {
    const view = await ask();
    const good = slack.click(slack.posted[0]!, APPROVE, 'U0DBA');
    const later = slack.sign(good.body, stage.runtime.now() + 1000);
    const forged = [
      { ...good, body: good.body.replace('U0DBA', 'U0ADA') },
      { ...good, body: `${good.body}&x=1` },
      { ...good, headers: { ...good.headers, 'x-slack-signature': 'v0=' } },
      { ...good, headers: { ...good.headers, 'x-slack-signature': `v0=${'0'.repeat(64)}` } },
      {
        ...good,
        headers: { ...good.headers, 'x-slack-signature': good.headers['x-slack-signature']!.slice(3) },
      },
      {
        ...good,
        headers: { ...good.headers, 'x-slack-request-timestamp': later['x-slack-request-timestamp']! },
      },
      { ...good, headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      { ...good, headers: { ...good.headers, 'x-slack-request-timestamp': 'NaN' } },
    ];
    for (const attempt of forged) expect(await send(attempt)).toBe(401);
    expect(await stateOf(view)).toMatchObject({ state: 'pending', approvals: [] });
    expect(slack.answered).toEqual([]);
    expect((await refusals()).every((detail) => detail.startsWith('slack ops: it'))).toBe(true);
  });

  test('refuses what is older or newer than five minutes', async () => {
    const view = await ask();
    const now = stage.runtime.now();
    expect(await click(APPROVE, 'U0DBA', { now: now - 301_000 })).toBe(401);
    expect(await click(APPROVE, 'U0DBA', { now: now + 301_000 })).toBe(401);
    expect(await stateOf(view)).toMatchObject({ state: 'pending' });
    expect(await click(APPROVE, 'U0DBA', { now: now - 299_000 })).toBe(200);
  });

  test('refuses a copy of what came before, also when it was refused then and would do now', async () => {
    await start(2);
    const view = await ask();
    const copy = slack.click(slack.posted[0]!, APPROVE, 'U0DBA');
    expect(await send(copy)).toBe(200);
    expect(await send(copy)).toBe(401);
    const early = slack.click(slack.posted[0]!, DENY, 'U0INTERN');
    expect(await send(early)).toBe(200);
    users.set('U0INTERN', { issuer: 'ci', subject: 'intern', claims: DBA });
    expect(await send(early)).toBe(401);
    users.set('U0INTERN', { issuer: 'ci', subject: 'intern', claims: { team: 'interns' } });
    expect(await stateOf(view)).toMatchObject({ state: 'pending' });
    expect((await stateOf(view)).approvals).toHaveLength(1);
  });

  test('refuses users whom nobody has mapped, and tells them alone', async () => {
    const view = await ask();
    expect(await click(APPROVE, 'U0STRANGER')).toBe(200);
    expect(await stateOf(view)).toMatchObject({ state: 'pending' });
    expect(slack.answered).toMatchObject([{ replace_original: false, response_type: 'ephemeral' }]);
    expect(await refusals()).toEqual(['slack ops: user U0STRANGER is nobody whom the configuration knows']);
  });

  test('refuses whoever may not approve, and whoever asked himself by another identity', async () => {
    const view = await ask({}, person('ada', { repository_id: '42', person: 'ada' }));
    for (const user of ['U0INTERN', 'U0ADA']) {
      expect(await click(APPROVE, user)).toBe(200);
      expect(slack.answered.at(-1)).toMatchObject({ response_type: 'ephemeral' });
    }
    const { request } = value(await hallpass.verbs.readRequest(person('ada', {}), view.request.id));
    expect(request).toMatchObject({ state: 'pending', approvals: [] });
    expect((await refusals()).at(-1)).toContain('nobody approves his own request');
  });

  test('an approval is for what the button was made with, and no other request', async () => {
    const view = await ask();
    const other = await ask({ task: 'report-2' });
    const { id } = view.request;
    const { digest } = other.request;
    for (const it of [`${id}.${digest}`, `${id}.${'A'.repeat(43)}`, `${id}.`, id, '', '../x.y'])
      expect(await click(APPROVE, 'U0DBA', { value: it })).toBe(200);
    expect(await stateOf(view)).toMatchObject({ state: 'pending', approvals: [] });
    expect(await stateOf(other)).toMatchObject({ state: 'pending', approvals: [] });
  });

  test('believes nothing of what comes along: names, roles, the text of the message', async () => {
    await ask();
    const extra = {
      message: { text: 'harmless', blocks: [] },
      user: { id: 'U0DBA', name: 'root', subject: 'root' },
    };
    await click(APPROVE, 'U0DBA', { extra });
    const said = JSON.stringify(slack.answered[0]);
    expect(said).toContain('an incident');
    expect(said).not.toMatch(/harmless|root/);
  });

  test('answers Slack alone, wherever it is told to', async () => {
    const view = await ask();
    const before = stage.runtime.hosts.length;
    const { host } = new URL(slack.url);
    for (const responseUrl of [
      'http://169.254.169.254/latest',
      `${slack.url}.evil.example/actions/x`,
      `http://x:y@${host}/actions/x`,
      'https://hooks.slack.com/actions/x',
      'not a url',
    ])
      expect(await click(DENY, 'U0INTERN', { responseUrl })).toBe(200);
    expect(stage.runtime.hosts.slice(before)).toEqual([]);
    // A decision counts whether or not anybody can be told of it.
    expect(await click(APPROVE, 'U0DBA', { responseUrl: `${slack.url}/gone` })).toBe(200);
    expect(await stateOf(view)).toMatchObject({ state: 'approved' });
  });

  test('knows no other channels, and takes what is no click of ours without a word', async () => {
    await ask();
    const { headers, body } = slack.click(slack.posted[0]!, APPROVE, 'U0DBA');
    expect((await app.request('/slack/other', { method: 'POST', headers, body })).status).toBe(404);
    expect(await click('open_link', 'U0DBA', { value: 'x' })).toBe(200);
    const junk = 'payload=%7B';
    expect(await send({ headers: slack.sign(junk, stage.runtime.now()), body: junk })).toBe(401);
    const twice = `${body}&${body}`;
    expect(await send({ headers: slack.sign(twice, stage.runtime.now()), body: twice })).toBe(401);
  });
});

const HOSTILE = [
  '<!channel> <!here> <@U0DBA> <https://evil.example|Read the request>',
  '`*bold* _it_ ~s~` ```code```',
  '@channel @here #general https://evil.example',
  'line\nWho: `root (corp)`',
  '\u202egpj.exe \u200b\u0007\u001b[31m',
  '&lt;!channel&gt; &amp; & < >',
];

test('slackChannel: what others write is shown as what it is, wherever they write it', async () => {
  for (const text of HOSTILE) {
    const by = person(text, { repository_id: '42' });
    const view = await hallpass.verbs.openTask(by, asking({ purpose: text.replace(/\p{Cc}/gu, ' ') }));
    if (view.ok || view.error.reason !== 'awaiting-approval') throw new Error(JSON.stringify(view));
    value(await hallpass.verbs.cancelRequest(by, view.error.view.request.id, text));
  }
  await tell();
  expect(slack.posted).toHaveLength(2 * HOSTILE.length);
  for (const posted of slack.posted) {
    expect(
      posted.links.every((link) =>
        /^https:\/\/hallpass\.example\/requests\/\w+\|Read the request$/.test(link),
      ),
    ).toBe(true);
    const outside = outsideCode(posted.mrkdwn);
    expect(outside).not.toMatch(/channel|here|evil|bold|root|31m/);
    expect(`${posted.text}${posted.mrkdwn.replaceAll('\n', '')}`).not.toMatch(/[\p{Cf}\p{Cc}]/u);
  }
  expect(slack.posted.map(({ mrkdwn }) => mrkdwn).join()).toContain('\\u{202e}gpj.exe');
});

test('slackChannel: nobody approves what is not shown to him', async () => {
  await ask({ purpose: '&'.repeat(1_000) });
  const [posted] = slack.posted as [FakeSlack['posted'][0]];
  expect(posted.mrkdwn).toContain('too long to be shown');
  expect(posted.buttons.map(({ action_id }) => action_id)).toEqual([DENY]);
});

test('slackChannel: what has lapsed by the time that it is told has no buttons', async () => {
  const answer = await hallpass.verbs.openTask(asker, asking({ purpose: 'x' }));
  expect(answer.ok).toBe(false);
  await stage.runtime.advance(30 * 86_400_000);
  await tell();
  expect(slack.posted[0]?.buttons).toEqual([]);
});

test('codeSpan: any text stays within its span, makes no link, and is no longer than it may be', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: fc.constantFrom(...'<>&`|@!#*_~\n\u202e') }),
  );
  fc.assert(
    fc.property(texts, fc.integer({ min: 1, max: 60 }), (text, max) => {
      const span = codeSpan(text, max);
      expect(outsideCode(span.text)).toMatch(/^-?$/);
      expect(linksIn(span.text)).toEqual([]);
      expect(span.text.length).toBeLessThanOrEqual(max + 3);
      if (!span.whole) return;
      const back = span.text
        .slice(1, -1)
        .replaceAll('\u02cb', '`')
        .replaceAll('&lt;', '<')
        .replaceAll('&gt;', '>')
        .replaceAll('&amp;', '&');
      if (text !== '' && !text.includes('\u02cb')) expect(back).toBe(visible(text));
    }),
  );
});
