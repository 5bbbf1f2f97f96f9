import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readFileFromDisk } from '../../src/config/files.ts';
import { loadConfig } from '../../src/config/load.ts';
import { attestorKinds } from '../../src/kinds.ts';
import { APPROVE } from '../../src/notify/slack/message.ts';
import type { ProviderKind } from '../../src/providers/provider.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { type RunningBroker, startBroker } from '../../src/serve.ts';
import { SESSION_REVOKED } from '../../src/signals/events.ts';
import { fakeProvider } from '../fakes/provider.ts';
import { type FakeSlack, startFakeSlack } from '../fakes/slack.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { startReceiver } from '../support/receiver.ts';
import { until } from '../support/runtime.ts';
import { layEmbeddedStore } from '../support/stores.ts';

/** A whole broker, from its file on: what happens in it is told, and what is told to it happens. */

let folder: string;
let ci: TestIssuer;
let transmitter: TestIssuer;
let slack: FakeSlack;
let hook: Awaited<ReturnType<typeof startReceiver>>;
let siem: Awaited<ReturnType<typeof startReceiver>>;
let broker: RunningBroker;
const logged: string[] = [];

const AUDIENCE = 'https://hallpass.example';
const secret = () => Buffer.from(systemRuntime.randomBytes(24)).toString('hex');

async function start(): Promise<RunningBroker> {
  const config = await loadConfig({
    path: join(folder, 'hallpass.yaml'),
    env: { HOOK_SECRET: secret(), SLACK_TOKEN: slack.token },
    readFile: readFileFromDisk,
    attestors: attestorKinds,
    providers: { memory: async () => fakeProvider({ now: Date.now }).provider as ProviderKind },
  });
  if (!config.ok) throw new Error(JSON.stringify(config.error, null, 2));
  const log = pino({ level: 'warn' }, { write: (line: string) => void logged.push(line) });
  return startBroker(config.value, systemRuntime, log, '0.0.0');
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hallpass-notify-'));
  [ci, transmitter, hook, siem] = await Promise.all([
    startIssuer(),
    startIssuer(),
    startReceiver(),
    startReceiver(202),
  ]);
  slack = await startFakeSlack({ token: secret(), signingSecret: secret() }, Date.now);
  writeFileSync(join(folder, 'slack.secret'), `${slack.signingSecret}\n`, { mode: 0o600 });
  writeFileSync(join(folder, 'okta.jwks'), JSON.stringify(transmitter.jwks()));
  writeFileSync(
    join(folder, 'hallpass.yaml'),
    `
broker: { url: ${AUDIENCE}, listen: "127.0.0.1:0", state_directory: state }
issuers:
  ci: { type: oidc, issuer: "${ci.url}", audience: ${AUDIENCE}, allow_insecure_http: true }
targets:
  warehouse: { provider: memory }
grants:
  report:
    who: [{ issuer: ci, claims: { sub: [job, other-job] } }]
    tasks: [nightly]
    credentials: { db: { target: warehouse, ttl: { default: 15m, max: 1h }, scope: { role: reader } } }
    approval: { stages: [{ from: [{ issuer: ci, claims: { sub: lead } }] }] }
people: [{ name: Bob, identities: [{ issuer: ci, claims: { sub: bob } }] }]
notifications:
  - { type: webhook, name: hook, url: "${hook.url}/hook", signing_secret_env: HOOK_SECRET }
  - type: slack
    name: approvals
    token_env: SLACK_TOKEN
    channel: C0OPS
    signing_secret_file: slack.secret
    users: { U0LEAD: { issuer: ci, subject: lead } }
    api_url: ${slack.url}/api/
    hooks_url: ${slack.url}
signals:
  transmitters:
    - name: okta
      issuer: ${transmitter.url}
      audience: ${AUDIENCE}
      jwks_file: okta.jwks
      speaks_for: [ci]
      block: 5m
  receivers:
    - { name: siem, url: "${siem.url}", audience: https://siem.example }
`,
  );
  await layEmbeddedStore(join(folder, 'state'));
  broker = await start();
});
afterAll(async () => {
  await broker?.stop();
  await Promise.all([ci.close(), transmitter.close(), slack.close(), hook.close(), siem.close()]);
  rmSync(folder, { recursive: true });
});

/** Opens a task; answers the status. */
async function open(sub = 'job'): Promise<number> {
  const token = await ci.sign({ sub, aud: AUDIENCE });
  const answer = await fetch(`${broker.url}/v1/tasks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ grant: 'report', task: 'nightly', purpose: 'an incident' }),
  });
  await answer.text();
  return answer.status;
}

const kinds = () => hook.taken.map(({ body }) => JSON.parse(body).kind as string);
const payloads = () =>
  siem.taken.map(({ body }) => JSON.parse(Buffer.from(body.split('.')[1]!, 'base64url').toString()));

test('notifications and signals: asked, told, approved by a click, used, revoked by a signal, and told on', async () => {
  expect(await open()).toBe(202);
  await until(() => slack.posted.length === 1 && kinds().length === 1, 'the news of the request');
  const { headers, body } = slack.click(slack.posted[0]!, APPROVE, 'U0LEAD');
  const clicked = await fetch(`${broker.url}/slack/approvals`, { method: 'POST', headers, body });
  expect(clicked.status).toBe(200);
  expect(slack.answered).toMatchObject([{ replace_original: true }]);
  await until(() => slack.changed.length === 1, 'the message to follow');
  expect(slack.changed).toMatchObject([{ ts: slack.posted[0]?.ts, buttons: [] }]);
  expect(await open()).toBe(201);

  const set = await transmitter.sign(
    {
      aud: AUDIENCE,
      sub: undefined,
      exp: undefined,
      sub_id: { format: 'iss_sub', iss: ci.url, sub: 'job' },
      events: { [SESSION_REVOKED]: {} },
    },
    { header: { typ: 'secevent+jwt' } },
  );
  const pushed = await fetch(`${broker.url}/signals`, {
    method: 'POST',
    headers: { 'content-type': 'application/secevent+jwt' },
    body: set,
  });
  expect(pushed.status).toBe(202);
  await until(() => siem.taken.length === 1 && kinds().includes('kill.marked'), 'the news of the end');
  expect(kinds()).toEqual([
    'request.created',
    'request.approved',
    'request.redeemed',
    'kill.ordered',
    'kill.marked',
  ]);
  expect(payloads()).toMatchObject([
    { iss: AUDIENCE, aud: 'https://siem.example', sub_id: { format: 'opaque' } },
  ]);
  const metrics = await (await fetch(`${broker.url}/metrics`)).text();
  expect(metrics).toMatch(/hallpass_notification_lag_events\{channel="approvals"\} \d/);
  expect(metrics).toMatch(/hallpass_signal_lag_events\{receiver="siem"\} \d/);
  // Of whom the broker cannot know whether he approves for himself.
  expect(logged.join('')).toMatch(/"user":"U0LEAD".*none of `people`/);
  expect(logged.join('')).not.toContain(slack.token);
  expect(logged.join('')).not.toContain(slack.signingSecret);
});

test('notifications: a broker that starts again goes on where it was', async () => {
  const before = kinds();
  await broker.stop();
  broker = await start();
  expect(await open('other-job')).toBe(202);
  await until(() => kinds().length > before.length && slack.posted.length > before.length, 'what came after');
  expect(kinds()).toEqual([...before, 'request.created']);
});
