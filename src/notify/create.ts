import type { Runtime } from '../runtime.ts';
import { DEFAULT_EVENTS, type NamedChannel, type SentMessages } from './channel.ts';
import { type EmailSettings, emailChannel } from './email.ts';
import { type SlackWay, slackChannel } from './slack/channel.ts';
import type { SlackApp, SlackUser } from './slack/desk.ts';
import { type WebhookSettings, webhookChannel } from './webhook.ts';

/** Whom the configuration has told of what happens. `events` null: the usual ones. */
export type ChannelSettings = { readonly name: string; readonly events: readonly string[] | null } & (
  | ({ readonly type: 'webhook' } & WebhookSettings)
  | {
      readonly type: 'slack';
      readonly way: SlackWay;
      /** With it messages have buttons. */
      readonly signingSecret: string | null;
      readonly users: ReadonlyMap<string, SlackUser>;
      readonly hooksOrigin: string;
    }
  | ({ readonly type: 'email' } & EmailSettings)
);

export function createChannel(
  settings: ChannelSettings,
  { runtime, messages }: { readonly runtime: Runtime; readonly messages: SentMessages },
): NamedChannel {
  const { name } = settings;
  const events = settings.events ?? DEFAULT_EVENTS;
  switch (settings.type) {
    case 'webhook':
      return { name, events, channel: webhookChannel(settings, runtime) };
    case 'slack': {
      const { way, users, signingSecret } = settings;
      const channel = slackChannel(way, { users, buttons: signingSecret !== null, messages, runtime });
      return { name, events, channel };
    }
    case 'email':
      return { name, events, channel: emailChannel(settings) };
  }
}

/** The channels whose buttons count, by name. */
export function slackApps(all: readonly ChannelSettings[]): ReadonlyMap<string, SlackApp> {
  return new Map(
    all.flatMap((settings) => {
      if (settings.type !== 'slack' || settings.signingSecret === null) return [];
      const { signingSecret, users, hooksOrigin } = settings;
      return [[settings.name, { signingSecret, users, hooksOrigin }] as const];
    }),
  );
}
