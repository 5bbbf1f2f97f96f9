import type { Registry } from 'prom-client';
import { humansBehind } from './approvals/person.ts';
import type { Broker } from './broker/broker.ts';
import type { Verbs } from './broker/verbs.ts';
import type { Config } from './config/config.ts';
import { createSink } from './export/create.ts';
import { createExporter, watchSinks } from './export/exporter.ts';
import { type Consumer, createFollower, type Follower, watchLag } from './export/follower.ts';
import type { AppOptions } from './http/app.ts';
import type { Issuer } from './issuer/issuer.ts';
import { CHANNEL_PREFIX, consumerOf } from './notify/channel.ts';
import { createChannel, slackApps } from './notify/create.ts';
import { createSlackDesk } from './notify/slack/desk.ts';
import { newId } from './runtime.ts';
import { composeReceivers, composeSignalDesk } from './signals/compose.ts';
import { RECEIVER_PREFIX } from './signals/send.ts';
import { channelMessages } from './store/messages.ts';

/** What `serve` puts together of all whom the broker tells, and who tell it, besides its clients. */

/** All who get the log, or some of it: sinks, channels, and receivers of signals. */
export async function openFollowers(
  broker: Broker,
  config: Config,
  issuer: Issuer | null,
  registry: Registry,
): Promise<readonly Follower[]> {
  const { database, runtime } = broker;
  const context = { ...broker, holder: newId(runtime) };
  const channels: readonly Consumer[] = config.notifications.map((settings) => {
    const messages = channelMessages(database, settings.name);
    return consumerOf(createChannel(settings, { runtime, messages }), config.broker.url);
  });
  const receivers = composeReceivers(config.signals, runtime, issuer, issuerUrls(config));
  if (config.audit.exports.length > 0) watchSinks(database, registry);
  const lag = { name: 'hallpass_notification_lag_events', label: 'channel', prefix: CHANNEL_PREFIX };
  if (channels.length > 0)
    watchLag(database, registry, {
      ...lag,
      help: 'Entries of the audit log that a channel has yet to get past',
    });
  const behind = { name: 'hallpass_signal_lag_events', label: 'receiver', prefix: RECEIVER_PREFIX };
  if (receivers.length > 0)
    watchLag(database, registry, {
      ...behind,
      help: 'Entries of the audit log that a receiver has yet to get past',
    });
  const followers = [
    ...config.audit.exports.map((settings) => createExporter(context, createSink(settings, runtime))),
    ...[...channels, ...receivers].map((consumer) => createFollower(context, consumer)),
  ];
  await Promise.all(followers.map((follower) => follower.open()));
  return followers;
}

/** How the issuers that have a URL write themselves in `iss`. */
function issuerUrls({ issuers }: Config): ReadonlyMap<string, string> {
  return new Map(
    [...issuers].flatMap(([name, { kind, settings }]) => {
      const { url } = kind.describe(settings);
      return url === undefined ? [] : [[name, url] as const];
    }),
  );
}

/** What takes clicks in Slack and signals, where the configuration has any who may send them. */
export function desksOf(broker: Broker, verbs: Verbs, config: Config): Pick<AppOptions, 'slack' | 'signals'> {
  const apps = slackApps(config.notifications);
  const signals = composeSignalDesk(broker, verbs, config.signals, issuerUrls(config));
  for (const [channel, { users }] of apps)
    for (const [user, one] of users) {
      const claims = { sub: one.subject, ...one.claims };
      if (config.people.length === 0 || humansBehind(config.people, { ...one, claims }).length > 0) continue;
      broker.log.warn(
        { channel, user },
        'this user of Slack is none of `people`: he could approve what he asked for by another identity of his',
      );
    }
  return {
    ...(apps.size === 0 ? {} : { slack: createSlackDesk(broker, verbs, apps) }),
    ...(signals === null ? {} : { signals }),
  };
}
