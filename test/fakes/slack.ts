import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';

/**
 * A FAKE of Slack, after https://docs.slack.dev: `chat.postMessage` and `chat.update`, incoming webhooks, answers to
 * `response_url`, and clicks that it signs as Slack does. It is strict: what Slack's limits or forms do not allow is an
 * error, and it reads messages as Slack does, to say what would have become a link or a mention.
 */
export interface FakeSlack {
  readonly url: string;
  readonly token: string;
  readonly signingSecret: string;
  /** Messages as they were posted. */
  readonly posted: readonly Posted[];
  /** What messages were changed to. */
  readonly changed: readonly Posted[];
  /** What came to a `response_url`. */
  readonly answered: readonly Record<string, unknown>[];
  /** Errors that the next calls answer, in turn; `null` is none. */
  readonly errors: (string | null)[];
  /** A click on a button of a message, as Slack would send it. */
  click(message: Posted, action: string, user: string, over?: ClickOptions): Click;
  /** Signs a body as Slack does, at an instant in milliseconds. */
  sign(body: string, now: number): Record<string, string>;
  close(): Promise<void>;
}

export interface ClickOptions {
  readonly now?: number;
  readonly responseUrl?: string;
  readonly value?: string;
  /** What Slack sends besides, and a forger would like to have believed. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export interface Click {
  readonly headers: Record<string, string>;
  readonly body: string;
}

export interface Posted {
  /** Names it within its channel; null where Slack does not tell. */
  readonly ts: string | null;
  readonly channel: string | null;
  readonly text: string;
  readonly blocks: readonly Block[];
  /** Its mrkdwn, all of it. */
  readonly mrkdwn: string;
  /** What Slack would make a link or a mention of. */
  readonly links: readonly string[];
  readonly buttons: readonly { readonly action_id: string; readonly value: string }[];
}

const textObject = z.strictObject({
  type: z.literal('mrkdwn'),
  text: z.string().min(1).max(3000),
  // Without it Slack looks for links and mentions in the text.
  verbatim: z.literal(true),
});
const button = z.strictObject({
  type: z.literal('button'),
  action_id: z.string().max(255),
  text: z.strictObject({ type: z.literal('plain_text'), text: z.string().max(75), emoji: z.boolean() }),
  style: z.enum(['primary', 'danger']),
  value: z.string().max(2000),
});
const block = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('section'), text: textObject }),
  z.strictObject({ type: z.literal('actions'), elements: z.array(button).min(1).max(25) }),
]);
type Block = z.output<typeof block>;

const message = {
  text: z.string().min(1).max(4000),
  blocks: z.array(block).min(1).max(50),
};
const unread = {
  parse: z.literal('none'),
  link_names: z.literal(false),
  unfurl_links: z.literal(false),
  unfurl_media: z.literal(false),
};
const postMessage = z.strictObject({
  ...message,
  ...unread,
  channel: z.string(),
  metadata: z.strictObject({ event_type: z.string(), event_payload: z.record(z.string(), z.string()) }),
});
/** A channel by its id alone. `parse` is `client` unless it is given, and links are unfurled as at first. */
const updateMessage = z.strictObject({
  ...message,
  parse: unread.parse,
  link_names: unread.link_names,
  channel: z.string().regex(/^[CDG][A-Z0-9]+$/),
  ts: z.string().regex(/^\d{10}\.\d{6}$/),
});
const webhookMessage = z.strictObject({ ...message, ...unread });
const responseMessage = z.union([
  z.strictObject({ ...message, replace_original: z.literal(true) }),
  z.strictObject({
    text: z.string(),
    replace_original: z.literal(false),
    response_type: z.literal('ephemeral'),
  }),
]);

export async function startFakeSlack(
  secrets: { readonly token: string; readonly signingSecret: string },
  now: () => number,
): Promise<FakeSlack> {
  const { token, signingSecret } = secrets;
  const posted: Posted[] = [];
  const changed: Posted[] = [];
  const answered: Record<string, unknown>[] = [];
  const errors: (string | null)[] = [];

  function serve(path: string, headers: Record<string, unknown>, body: string): [number, string] {
    if (!String(headers['content-type']).startsWith('application/json'))
      return [200, no('invalid_form_data')];
    const error = errors.shift() ?? null;
    if (path === '/api/chat.postMessage') {
      if (headers.authorization !== `Bearer ${token}`) return [200, no('invalid_auth')];
      if (error !== null) return [200, no(error)];
      const read = postMessage.safeParse(JSON.parse(body));
      if (!read.success) return [200, no(`invalid_blocks: ${read.error.message}`)];
      const ts = `${1_700_000_000 + posted.length}.000200`;
      // Whatever it was called by, it is told by its id.
      const channel = read.data.channel.startsWith('#') ? 'C0NAMED' : read.data.channel;
      posted.push(asPosted(read.data, { channel: read.data.channel, ts }));
      return [200, JSON.stringify({ ok: true, channel, ts })];
    }
    if (path === '/api/chat.update') {
      if (headers.authorization !== `Bearer ${token}`) return [200, no('invalid_auth')];
      if (error !== null) return [200, no(error)];
      const read = updateMessage.safeParse(JSON.parse(body));
      if (!read.success) return [200, no(`invalid_blocks: ${read.error.message}`)];
      const { ts, channel } = read.data;
      if (!posted.some((one) => one.ts === ts)) return [200, no('message_not_found')];
      changed.push(asPosted(read.data, { channel, ts }));
      return [200, JSON.stringify({ ok: true, channel, ts })];
    }
    if (path.startsWith('/services/')) {
      if (error !== null) return [Number(error), 'no'];
      const read = webhookMessage.safeParse(JSON.parse(body));
      if (!read.success) return [400, `invalid_payload ${read.error.message}`];
      posted.push(asPosted(read.data, { channel: null, ts: null }));
      return [200, 'ok'];
    }
    if (path.startsWith('/actions/')) {
      const read = responseMessage.safeParse(JSON.parse(body));
      if (!read.success) return [400, `invalid ${read.error.message}`];
      answered.push(read.data);
      return [200, 'ok'];
    }
    return [404, 'not found'];
  }

  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const [status, text] = serve(request.url ?? '', request.headers, body);
      response.writeHead(status).end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  function sign(body: string, at: number): Record<string, string> {
    const timestamp = String(Math.floor(at / 1000));
    const mac = createHmac('sha256', signingSecret).update(`v0:${timestamp}:${body}`).digest('hex');
    return {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': timestamp,
      'x-slack-signature': `v0=${mac}`,
    };
  }

  return {
    url,
    token,
    signingSecret,
    posted,
    changed,
    answered,
    errors,
    sign,
    click(shown, action, user, over = {}) {
      const pressed = shown.buttons.find(({ action_id }) => action_id === action);
      if (!pressed && over.value === undefined) throw new Error(`the message has no button ${action}`);
      const payload = {
        type: 'block_actions',
        user: { id: user, username: 'mallory', name: 'mallory', team_id: 'T1' },
        team: { id: 'T1', domain: 'example' },
        api_app_id: 'A1',
        trigger_id: `${Math.random()}`,
        container: { type: 'message', message_ts: '1.2' },
        channel: { id: 'C1', name: 'approvals' },
        message: { type: 'message', text: shown.text, blocks: shown.blocks },
        response_url: over.responseUrl ?? `${url}/actions/T1/1/x`,
        actions: [
          {
            type: 'button',
            block_id: 'b',
            action_ts: '1.3',
            action_id: action,
            value: over.value ?? pressed?.value,
          },
        ],
        ...over.extra,
      };
      const body = `payload=${encodeURIComponent(JSON.stringify(payload)).replaceAll('%20', '+')}`;
      return { headers: sign(body, over.now ?? now()), body };
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function no(error: string): string {
  return JSON.stringify({ ok: false, error });
}

function asPosted(
  { text, blocks }: { readonly text: string; readonly blocks: readonly Block[] },
  place: Pick<Posted, 'channel' | 'ts'>,
): Posted {
  const mrkdwn = blocks.flatMap((one) => (one.type === 'section' ? [one.text.text] : [])).join('\n');
  return {
    ...place,
    text,
    blocks,
    mrkdwn,
    links: linksIn(`${text}\n${mrkdwn}`),
    buttons: blocks.flatMap((one) => (one.type === 'actions' ? one.elements : [])),
  };
}

/** Slack's reading: `<...>` is a link or a mention wherever it stands, also in code. `&` alone is an error of the sender. */
export function linksIn(text: string): string[] {
  if (/&(?!amp;|lt;|gt;)/.test(text)) throw new Error(`"&" is not escaped in ${text}`);
  return [...text.matchAll(/<([^>]*)>/g)].map(([, link]) => link ?? '');
}

/** What is left of mrkdwn when its code spans are taken out: where formats would take effect. */
export function outsideCode(text: string): string {
  return text.replace(/`[^`\n]*`/g, '');
}
