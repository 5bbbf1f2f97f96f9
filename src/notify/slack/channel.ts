import type { AuditEvent } from '../../audit/event.ts';
import type { Runtime } from '../../runtime.ts';
import type { Channel, SentMessages } from '../channel.ts';
import type { Notice } from '../notice.ts';
import { callSlack, type SlackAnswer, SlackRefused, sendJson } from './api.ts';
import type { SlackUser } from './desk.ts';
import { slackMessage, UNREAD } from './message.ts';
import { OUTCOMES, outcomeOf } from './outcome.ts';

interface TokenWay {
  readonly kind: 'token';
  readonly token: string;
  readonly channel: string;
  readonly apiUrl: string;
}

/** By a bot's token into a channel, or by the URL of an incoming webhook, which is a secret itself. */
export type SlackWay = TokenWay | { readonly kind: 'webhook'; readonly url: string };

export interface SlackSettings {
  /** Whether it can tell us of a click. */
  readonly buttons: boolean;
  /** By their ids in Slack. */
  readonly users: ReadonlyMap<string, SlackUser>;
  /** Where it asked for approvals. */
  readonly messages: SentMessages;
  readonly runtime: Runtime;
}

/**
 * Messages in Slack; with buttons where it can tell us of a click. By a bot's token a message that asks for an approval
 * is changed once that is decided, wherever it was; an incoming webhook does not tell where its message is.
 */
export function slackChannel(way: SlackWay, settings: SlackSettings): Channel {
  if (way.kind === 'token') return botChannel(way, settings);
  const { runtime } = settings;
  return {
    async send(notice, _event, signal) {
      await sendJson(runtime, way.url, {}, { ...showing(notice, settings), ...UNREAD }, signal);
    },
  };
}

/** Where a message is: in a channel by its id, whatever it was called when it was posted, and which one there. */
interface Place {
  readonly channel: string;
  readonly ts: string;
}

function botChannel(way: TokenWay, settings: SlackSettings): Channel {
  const { users, messages, runtime } = settings;

  async function send(notice: Notice, event: AuditEvent, signal: AbortSignal): Promise<void> {
    // A receiver of messages sees by it what was sent twice.
    const metadata = { event_type: 'hallpass_event', event_payload: { id: notice.id, kind: notice.kind } };
    const body = { ...showing(notice, settings), ...UNREAD, metadata, channel: way.channel };
    const place = placeIn(await callSlack(runtime, way, 'chat.postMessage', body, signal));
    if (event.kind === 'request.created' && place !== null)
      await messages.keep(event.data.id, { place, notice });
  }

  async function amend(event: AuditEvent, signal: AbortSignal): Promise<void> {
    const outcome = outcomeOf(event, users);
    const message = outcome && (await messages.read(outcome.request));
    if (!message) return;
    const { decide, ...told } = message.notice as Notice;
    const notice = { ...told, decide: outcome.isFinal ? null : decide };
    const { parse, link_names } = UNREAD;
    const place = message.place as Place;
    const body = { ...showing(notice, settings, outcome.text), parse, link_names, ...place };
    try {
      await callSlack(runtime, way, 'chat.update', body, signal);
    } catch (error) {
      if (!(error instanceof SlackRefused && UNCHANGEABLE.has(error.code))) throw error;
    }
    if (outcome.isFinal) await messages.forget(outcome.request);
  }

  return { send, amendments: { kinds: OUTCOMES, amend } };
}

/** That a message is gone, or stays as it is (https://docs.slack.dev/reference/methods/chat.update). */
const UNCHANGEABLE: ReadonlySet<string> = new Set([
  'message_not_found',
  'cant_update_message',
  'edit_window_closed',
]);

function placeIn({ channel, ts }: SlackAnswer): Place | null {
  return typeof channel === 'string' && typeof ts === 'string' ? { channel, ts } : null;
}

/** A notice as it looks now, with what has come of it. */
function showing(notice: Notice, { buttons, runtime }: SlackSettings, outcome: string | null = null) {
  const waits = notice.decide !== null && runtime.now() < notice.decide.until;
  return slackMessage(notice, { buttons: buttons && waits, ...(outcome === null ? {} : { outcome }) });
}
