import { post } from '../../export/post.ts';
import { Refused, SinkError } from '../../export/sink.ts';
import type { Runtime } from '../../runtime.ts';
import type { Channel } from '../channel.ts';
import { slackMessage, UNREAD } from './message.ts';

/** By a bot's token into a channel, or by the URL of an incoming webhook, which is a secret itself. */
export type SlackWay =
  | { readonly kind: 'token'; readonly token: string; readonly channel: string; readonly apiUrl: string }
  | { readonly kind: 'webhook'; readonly url: string };

/** What of `chat.postMessage` passes by itself (https://docs.slack.dev/reference/methods/chat.postMessage). All other errors stay. */
const PASSING: ReadonlySet<string> = new Set([
  'ratelimited',
  'rate_limited',
  'fatal_error',
  'internal_error',
  'request_timeout',
  'service_unavailable',
  'team_added_to_org',
]);

/** Messages in Slack; with buttons where it can tell us of a click. */
export function slackChannel(way: SlackWay, buttons: boolean, runtime: Runtime): Channel {
  return {
    async send(notice, _event, signal) {
      const waits = notice.decide !== null && runtime.now() < notice.decide.until;
      const message = slackMessage(notice, { buttons: buttons && waits });
      // A receiver of messages sees by it what was sent twice.
      const metadata = { event_type: 'hallpass_event', event_payload: { id: notice.id, kind: notice.kind } };
      const body = { ...message, ...UNREAD };
      if (way.kind === 'webhook') await sendJson(runtime, way.url, {}, body, signal);
      else {
        const headers = { authorization: `Bearer ${way.token}` };
        const url = `${way.apiUrl}/chat.postMessage`;
        const said = await sendJson(
          runtime,
          url,
          headers,
          { ...body, metadata, channel: way.channel },
          signal,
        );
        refuseUnlessOk(said);
      }
    },
  };
}

/** A small JSON document to Slack; answers the text that came back. */
export async function sendJson(
  runtime: Pick<Runtime, 'fetch'>,
  url: string,
  headers: Readonly<Record<string, string>>,
  body: unknown,
  signal: AbortSignal,
): Promise<string> {
  const sent = {
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(body),
  };
  return (await post(runtime, url, sent, signal)).text;
}

/** Slack says in a 200 that it did not. */
function refuseUnlessOk(text: string): void {
  const answer = readAnswer(text);
  if (answer.ok === true) return;
  const error = typeof answer.error === 'string' ? answer.error.slice(0, 60) : 'no reason';
  const said = `It said ${JSON.stringify(error)}`;
  throw PASSING.has(error) || answer.ok === undefined ? new SinkError(said) : new Refused(said);
}

function readAnswer(text: string): { readonly ok?: unknown; readonly error?: unknown } {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
