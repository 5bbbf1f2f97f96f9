import { expect, test } from 'vitest';
import { EXAMPLE, faultsIn, load, SECRET } from './support.ts';

const CHANNELS = `
notifications:
  - { type: webhook, name: hook, url: "https://hook.example/x", signing_secret_env: S, events: [request.created, "kill.*"] }
  - type: slack
    name: approvals
    token_env: S
    channel: C0OPS
    signing_secret_env: S
    users:
      U0ADA: { issuer: staff, subject: ada, claims: { groups: [sre], level: 3 } }
  - { type: slack, name: hooked, webhook_url_env: URL }
  - { type: email, name: mail, host: mail.example, from: a@example.com, to: b@example.com, user: u, password_env: S }
  - { type: email, name: old, host: mail.example, port: 465, from: a@example.com, to: b@example.com }
signals:
  transmitters:
    - { name: okta, issuer: "https://okta.example", audience: us, jwks_uri: "https://okta.example/k", speaks_for: [staff] }
  receivers:
    - { name: siem, url: "https://siem.example", audience: them, authorization_env: S }
`;
const ENV = { S: SECRET, URL: 'https://hooks.slack.com/services/T/B/x' };

test('loadConfig: reads channels and signals, and shows no secret of theirs in its digest', async () => {
  const config = await load(`${EXAMPLE}${CHANNELS}`, ENV);
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const { notifications, signals } = config.value;
  expect(notifications).toMatchObject([
    { type: 'webhook', name: 'hook', secret: SECRET, events: ['request.created', 'kill.*'] },
    {
      type: 'slack',
      way: { kind: 'token', token: SECRET, channel: 'C0OPS', apiUrl: 'https://slack.com/api' },
      signingSecret: SECRET,
      hooksOrigin: 'https://hooks.slack.com',
      events: null,
    },
    { way: { kind: 'webhook', url: ENV.URL }, signingSecret: null },
    { type: 'email', port: 587, tls: 'starttls', login: { user: 'u', password: SECRET } },
    { type: 'email', tls: 'implicit', login: null },
  ]);
  const [, slack] = notifications;
  expect(slack?.type === 'slack' && slack.users.get('U0ADA')).toEqual({
    issuer: 'staff',
    subject: 'ada',
    claims: { groups: ['sre'], level: 3 },
  });
  expect(signals).toEqual({
    transmitters: [
      {
        name: 'okta',
        issuer: 'https://okta.example',
        audience: 'us',
        keys: { uri: 'https://okta.example/k' },
        speaksFor: ['staff'],
        blockSeconds: 3600,
      },
    ],
    receivers: [{ name: 'siem', url: 'https://siem.example', audience: 'them', authorization: SECRET }],
  });
  const other = await load(`${EXAMPLE}${CHANNELS}`, { ...ENV, S: `${SECRET}x` });
  expect(other.ok && other.value.digest).toBe(config.value.digest);
});

test.each([
  ['request.created, "kill.*"', 'request.craeted', 'There is no such kind of event'],
  ['request.created, "kill.*"', '"nothing.*"', 'There is no such kind of event'],
  ['https://hook.example/x', 'http://hook.example/x', 'write an https URL'],
  ['https://hook.example/x', 'https://u:p@hook.example/x', 'without a user name'],
  ['signing_secret_env: S, events', 'signing_secret: abcdefghijklmnopqrst, events', 'insecure_inline'],
  ['name: hooked', 'name: hook', 'the same name'],
  ['U0ADA', 'ada', 'Write the id of a user'],
  ['issuer: staff, subject', 'issuer: stuff, subject', 'did you mean "staff"'],
  ['    channel: C0OPS\n', '', 'set token and channel'],
  ['    signing_secret_env: S\n', '', 'Nobody can click without signing_secret'],
  ['webhook_url_env: URL', 'channel: C0X', 'Write either token and channel, or webhook_url'],
  ['user: u, ', '', 'Set user and password, or neither'],
  [
    'from: a@example.com, to: b@example.com, user',
    'from: "a@example.com\\nBcc: x@example.com", to: b@example.com, user',
    'from',
  ],
  ['speaks_for: [staff]', 'speaks_for: [nobody]', 'Unknown issuer "nobody"'],
  ['jwks_uri: "https://okta.example/k"', 'jwks_uri: "http://okta.example/k"', 'write an https URL'],
  ['jwks_uri: "https://okta.example/k", ', '', 'Write the keys once'],
])('loadConfig: %s as %s is a fault', async (from, to, message) => {
  expect(CHANNELS).toContain(from);
  const faults = await faultsIn(`${EXAMPLE}${CHANNELS.replace(from, to)}`, ENV);
  expect(faults.join('\n')).toContain(message);
});
