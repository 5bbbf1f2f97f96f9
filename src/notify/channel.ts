import type { AuditEvent } from '../audit/event.ts';
import type { Consumer } from '../export/follower.ts';
import { stepsFor } from '../export/select.ts';
import { type Notice, noticeOf } from './notice.ts';

/** A way to tell people, or programs of theirs. */
export interface Channel {
  /**
   * Sends one notice. Resolves when the other side has it. Throws `Refused` where it never will take it, and anything
   * else where it may later; it is then called again with the same, so it may arrive twice. By one process at a time.
   */
  send(notice: Notice, event: AuditEvent, signal: AbortSignal): Promise<void>;
  /** Absent where what was sent stays as it is. */
  readonly amendments?: Amendments;
}

export interface Amendments {
  /** The kinds of events after which what was sent is another, whether anybody wants to be told of them or not. */
  readonly kinds: ReadonlySet<AuditEvent['kind']>;
  /** Changes it, and throws as `send` does. It comes before `send`, and as often as that is tried. */
  amend(event: AuditEvent, signal: AbortSignal): Promise<void>;
}

/** A message that asks for an approval, as its channel can find and change it. */
export interface SentMessage {
  /** Where it is, in the channel's own terms. */
  readonly place: object;
  /** The notice that it shows. */
  readonly notice: object;
}

/** The messages by which one channel asked for approvals, by the id of the request. They outlive the process. */
export interface SentMessages {
  /** The last one counts, where it asked twice. */
  keep(request: string, message: SentMessage): Promise<void>;
  read(request: string): Promise<SentMessage | null>;
  forget(request: string): Promise<void>;
}

export interface NamedChannel {
  readonly name: string;
  /** Kinds of events, or with `*` at the end how they begin. */
  readonly events: readonly string[];
  readonly channel: Channel;
}

/** Of what people are told unless the configuration says otherwise. */
export const DEFAULT_EVENTS: readonly string[] = [
  'request.created',
  'request.approved',
  'request.denied',
  'request.expired',
  'request.cancelled',
  'request.redeemed',
  'kill.*',
  'block.*',
  'breakglass.*',
  'review.*',
];

/** How the cursors of channels begin. */
export const CHANNEL_PREFIX = 'notify:';

/**
 * A channel as a reader of the log. It begins at the end: nobody wants to be told of last year. What is refused for good
 * is given up in time, and the log says so, so that one bad message does not keep back all that come after it.
 */
export function consumerOf({ name, events, channel }: NamedChannel, url: string): Consumer {
  return {
    cursor: `${CHANNEL_PREFIX}${name}`,
    from: 'end',
    steps: (entries) =>
      stepsFor(entries, (event) => {
        const isNews = isWanted(event, events) && !isAboutItself(event, name);
        const amendments = channel.amendments?.kinds.has(event.kind) ? channel.amendments : null;
        if (!isNews && amendments === null) return null;
        return {
          async send(signal) {
            await amendments?.amend(event, signal);
            if (isNews) await channel.send(noticeOf(event, url), event, signal);
          },
          givenUp: (refusals, detail) => ({
            kind: 'notification.failed',
            actor: { kind: 'system' },
            about: event.about,
            data: { channel: name, event: event.id, of: event.kind, refusals, detail },
          }),
        };
      }),
  };
}

export function isWanted({ kind }: { readonly kind: string }, events: readonly string[]): boolean {
  return events.some((wanted) =>
    wanted.endsWith('*') ? kind.startsWith(wanted.slice(0, -1)) : kind === wanted,
  );
}

/** What a channel refused is not sent to it as news: that would be refused too, for ever. */
function isAboutItself(event: AuditEvent, name: string): boolean {
  return event.kind === 'notification.failed' && event.data.channel === name;
}
