import { z } from 'zod';
import { EVENTS } from '../audit/schema.ts';
import { duration } from '../grants/duration.ts';
import { type Fault, type Path, quote, suggest } from '../grants/fault.ts';
import { configName } from '../grants/schema.ts';
import type { Json } from '../json.ts';
import type { ChannelSettings } from '../notify/create.ts';
import type { SignalSettings } from '../signals/compose.ts';

/** How `notifications` and `signals` are written in `hallpass.yaml`: who is told of what happens, and who tells us. */

/** Where TLS begins at once (RFC 8314, section 3.3). */
const SUBMISSIONS_PORT = 465;

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** An https URL, or http on this very machine. */
const webUrl = z
  .url({
    protocol: /^https?$/,
    error: 'Cannot read this as a URL: write it like https://hooks.example.com/hallpass',
  })
  .refine((text) => {
    if (!URL.canParse(text)) return true;
    const { protocol, hostname, username, password } = new URL(text);
    return (protocol === 'https:' || LOOPBACK.test(hostname)) && username === '' && password === '';
  }, 'Cannot send there: write an https URL without a user name')
  .meta({ typeName: 'URL' });

const KINDS = Object.keys(EVENTS);

/** `breakglass.*` and the like name kinds by how they begin. A pattern that fits nothing would tell nobody, ever. */
const eventPattern = z
  .string()
  .max(60)
  .refine(
    (text) =>
      text.endsWith('*') ? KINDS.some((kind) => kind.startsWith(text.slice(0, -1))) : KINDS.includes(text),
    'There is no such kind of event: src/audit/README.md lists them; "kill.*" stands for all that begin so',
  );

const common = {
  name: configName.meta({
    description: 'Names its place in the log: a new name begins with what happens next',
  }),
  events: z.array(eventPattern).min(1).max(50).optional().meta({
    description:
      'Kinds of events that it is told of, `*` at the end for all that begin so. By default those of requests, kills, blocks, break-glass and reviews',
  }),
};

const webhook = z.strictObject({
  type: z.literal('webhook').meta({ description: 'How it is told' }),
  ...common,
  url: webUrl.meta({ description: 'Where each is posted, as JSON' }),
  signing_secret: z
    .string()
    .min(16)
    .meta({ description: 'Signs each request by HMAC-SHA-256', secret: true }),
});

const slackUser = z.strictObject({
  issuer: z.string().min(1).max(200).meta({ description: 'Whose word his identity is: a name in `issuers`' }),
  subject: z.string().min(1).max(2_048).meta({ description: 'His subject there' }),
  claims: z
    .record(z.string().min(1).max(200), z.custom<Json>())
    .default({})
    .meta({ description: 'His claims: what grants ask of approvers, and what `people` know him by' }),
});

const slack = z.strictObject({
  type: z.literal('slack').meta({ description: 'How it is told' }),
  ...common,
  token: z.string().min(1).optional().meta({ description: 'Bot token, with `channel`', secret: true }),
  channel: z
    .string()
    .regex(/^[CGD][A-Z0-9]{1,30}$/, { error: 'Write the id of the channel, for instance C0123456789' })
    .optional()
    .meta({ description: 'Id of the channel that is written to' }),
  webhook_url: webUrl
    .optional()
    .meta({ description: 'URL of an incoming webhook, in place of `token` and `channel`', secret: true }),
  signing_secret: z.string().min(16).optional().meta({
    description: 'Of the Slack app; with it messages have buttons, and clicks come to `/slack/NAME`',
    secret: true,
  }),
  users: z
    .record(
      z.string().regex(/^[UW][A-Z0-9]{1,30}$/, { error: 'Write the id of a user, for instance U0123456789' }),
      slackUser,
    )
    .default({})
    .meta({ description: 'Who may decide by a click: users of Slack by id, and who they are' }),
  api_url: webUrl.default('https://slack.com/api').meta({ description: "Slack's API" }),
  hooks_url: webUrl
    .default('https://hooks.slack.com')
    .meta({ description: 'Where Slack is answered after a click, and nowhere else' }),
});

const email = z.strictObject({
  type: z.literal('email').meta({ description: 'How it is told' }),
  ...common,
  host: z.string().min(1).max(255).meta({ description: 'SMTP server' }),
  port: z.int().min(1).max(65_535).default(587).meta({
    description: 'Its port: TLS from the start on 465, by STARTTLS on all others',
  }),
  user: z.string().min(1).max(320).optional().meta({ description: 'Login, with `password`' }),
  password: z.string().min(1).optional().meta({ description: 'Password', secret: true }),
  from: z.email().max(254).meta({ description: 'Address of the sender', typeName: 'address' }),
  to: z
    .email()
    .max(254)
    .meta({ description: 'Address of the receiver: for several, one of a list', typeName: 'address' }),
  ca: z.string().optional().meta({ description: 'Certificates to trust, PEM', typeName: 'PEM' }),
  insecure_plain_smtp: z.literal(true).optional().meta({
    description: 'Send without TLS: everybody on the way can read and change it',
  }),
});

const names = (all: readonly { readonly name: string }[]) =>
  new Set(all.map(({ name }) => name)).size === all.length;
const TWICE = { error: 'Two of them have the same name: give each its own' };

export const notificationsSchema = z
  .array(
    z.discriminatedUnion('type', [
      webhook,
      slack.superRefine(({ token, channel, webhook_url, signing_secret, users }, context) => {
        const report = (path: string, message: string) =>
          context.addIssue({ code: 'custom', path: [path], message });
        if ((token === undefined) !== (channel === undefined))
          report('channel', 'Cannot write without both: set token and channel');
        if ((token === undefined) === (webhook_url === undefined))
          report('webhook_url', 'Write either token and channel, or webhook_url');
        if (signing_secret === undefined && Object.keys(users).length > 0)
          report('users', 'Nobody can click without signing_secret: set it, or leave users out');
      }),
      email.superRefine(({ user, password }, context) => {
        if ((user === undefined) !== (password === undefined))
          context.addIssue({ code: 'custom', path: ['user'], message: 'Set user and password, or neither' });
      }),
    ]),
  )
  .max(20)
  .refine(names, TWICE);

const transmitter = z.strictObject({
  name: configName.meta({ description: 'Its name in the log' }),
  issuer: z
    .string()
    .min(1)
    .max(2_048)
    .meta({ description: '`iss` of its tokens, exactly as it stands there' }),
  audience: z.string().min(1).max(2_048).meta({ description: '`aud` of the tokens that it sends here' }),
  jwks_uri: z
    .url({ protocol: /^https$/, error: 'Cannot fetch keys from there: write an https URL' })
    .optional()
    .meta({ description: 'Where its public keys are', typeName: 'URL' }),
  jwks: z.string().optional().meta({
    description: 'Its public keys themselves, a JWK Set, usually by `jwks_file`',
    typeName: 'JWK Set',
  }),
  speaks_for: z
    .array(z.string().min(1).max(200))
    .min(1)
    .max(100)
    .meta({ description: 'Names of `issuers` whose subjects it may end' }),
  block: duration({ max: 31_536_000 }).prefault('1h').meta({
    description: 'For how long a subject is kept out: as long as the tokens that it has may be good',
  }),
});

const receiver = z.strictObject({
  name: configName.meta({
    description: 'Names its place in the log: a new name begins with what happens next',
  }),
  url: webUrl.meta({ description: 'Where each token is pushed' }),
  audience: z.string().min(1).max(2_048).meta({ description: '`aud` of what it is sent' }),
  authorization: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'Its `Authorization` header', secret: true }),
});

export const signalsSchema = z.strictObject({
  transmitters: z
    .array(
      transmitter.refine(({ jwks, jwks_uri }) => (jwks === undefined) !== (jwks_uri === undefined), {
        path: ['jwks_uri'],
        error: 'Write the keys once: where they are in jwks_uri, or as a file in jwks_file',
      }),
    )
    .max(20)
    .refine(names, TWICE)
    .refine((all) => new Set(all.map(({ issuer }) => issuer)).size === all.length, {
      error: 'Two of them have the same issuer: a token could be of either',
    })
    .optional()
    .meta({ description: 'Whose signals end the leases of a subject' }),
  receivers: z
    .array(receiver)
    .max(20)
    .refine(names, TWICE)
    .optional()
    .meta({ description: 'Who is told by signals of what was revoked here' }),
});

/** Names of issuers that there are not: whom they name could be nobody, or by a slip of the pen somebody else. */
export function outsideFaults(
  sections: {
    readonly notifications?: z.output<typeof notificationsSchema>;
    readonly signals?: z.output<typeof signalsSchema> | undefined;
  },
  issuers: ReadonlyMap<string, { readonly url?: string }>,
): Fault[] {
  const unknown = (path: Path, name: string): Fault[] =>
    issuers.has(name)
      ? []
      : [{ path, message: `Unknown issuer ${quote(name)}: ${suggest(name, issuers.keys())}` }];
  const users = (sections.notifications ?? []).flatMap((channel, i) =>
    channel.type === 'slack'
      ? Object.entries(channel.users).flatMap(([id, { issuer }]) =>
          unknown(['notifications', i, 'users', id, 'issuer'], issuer),
        )
      : [],
  );
  const spoken = (sections.signals?.transmitters ?? []).flatMap(({ speaks_for }, i) =>
    speaks_for.flatMap((name, j) => {
      const path = ['signals', 'transmitters', i, 'speaks_for', j];
      const faults = unknown(path, name);
      if (faults.length > 0 || issuers.get(name)?.url !== undefined) return faults;
      const message = `The issuer ${quote(name)} has no URL, by which a signal could name its subjects: leave it out`;
      return [{ path, message }];
    }),
  );
  return [...users, ...spoken];
}

/** The section `notifications` as the broker uses it. */
export function notificationsConfig(raw: z.output<typeof notificationsSchema>): readonly ChannelSettings[] {
  return raw.map(channelConfig);
}

function channelConfig({ events, ...one }: z.output<typeof notificationsSchema>[number]): ChannelSettings {
  const rest = { name: one.name, events: events ?? null };
  switch (one.type) {
    case 'webhook':
      return { ...rest, type: 'webhook', url: one.url, secret: one.signing_secret };
    case 'slack':
      return {
        ...rest,
        type: 'slack',
        way:
          one.token === undefined || one.channel === undefined
            ? { kind: 'webhook', url: one.webhook_url ?? '' }
            : {
                kind: 'token',
                token: one.token,
                channel: one.channel,
                apiUrl: one.api_url.replace(/\/+$/, ''),
              },
        signingSecret: one.signing_secret ?? null,
        users: new Map(
          Object.entries(one.users).map(([id, { issuer, subject, claims }]) => [
            id,
            { issuer, subject, claims },
          ]),
        ),
        hooksOrigin: new URL(one.hooks_url).origin,
      };
    case 'email': {
      const { host, port, from, to, user, password, ca } = one;
      const login = user === undefined || password === undefined ? null : { user, password };
      const tls = one.insecure_plain_smtp ? 'none' : port === SUBMISSIONS_PORT ? 'implicit' : 'starttls';
      return { ...rest, type: 'email', host, port, from, to, login, ca: ca ?? null, tls };
    }
  }
}

/** The section `signals` as the broker uses it. */
export function signalsConfig(raw: z.output<typeof signalsSchema> | undefined): SignalSettings {
  return {
    transmitters: (raw?.transmitters ?? []).map(({ jwks, jwks_uri, speaks_for, block, ...rest }) => ({
      ...rest,
      keys: jwks === undefined ? { uri: jwks_uri ?? '' } : { set: jwks },
      speaksFor: speaks_for,
      blockSeconds: block,
    })),
    receivers: (raw?.receivers ?? []).map(({ authorization, ...rest }) => ({
      ...rest,
      authorization: authorization ?? null,
    })),
  };
}
