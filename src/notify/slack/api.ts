import { post } from '../../export/post.ts';
import { Refused, SinkError } from '../../export/sink.ts';
import type { Runtime } from '../../runtime.ts';

/** What passes by itself (https://docs.slack.dev/reference/methods/chat.postMessage). All other errors stay. */
const PASSING: ReadonlySet<string> = new Set([
  'ratelimited',
  'rate_limited',
  'fatal_error',
  'internal_error',
  'request_timeout',
  'service_unavailable',
  'team_added_to_org',
]);

/** Slack said that it will not. */
export class SlackRefused extends Refused {
  /** The word it has for why. */
  readonly code: string;

  constructor(code: string) {
    super(said(code));
    this.code = code;
  }
}

/** What of an answer is looked at. */
export interface SlackAnswer {
  readonly ok?: unknown;
  readonly error?: unknown;
  readonly channel?: unknown;
  readonly ts?: unknown;
}

/** Calls a method of its Web API. Throws `SlackRefused` for an error that stays, `SinkError` for one that passes. */
export async function callSlack(
  runtime: Pick<Runtime, 'fetch'>,
  { apiUrl, token }: { readonly apiUrl: string; readonly token: string },
  method: string,
  body: unknown,
  signal: AbortSignal,
): Promise<SlackAnswer> {
  const headers = { authorization: `Bearer ${token}` };
  const answer = read(await sendJson(runtime, `${apiUrl}/${method}`, headers, body, signal));
  // It says in a 200 that it did not.
  if (answer.ok === true) return answer;
  const code = typeof answer.error === 'string' ? answer.error.slice(0, 60) : 'no reason';
  throw PASSING.has(code) || answer.ok === undefined ? new SinkError(said(code)) : new SlackRefused(code);
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

function said(code: string): string {
  return `It said ${JSON.stringify(code)}`;
}

function read(text: string): SlackAnswer {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
