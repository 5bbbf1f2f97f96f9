import type { Registry } from 'prom-client';
import type { Database } from '../store/database.ts';
import { createFollower, type Follower, type FollowerContext, watchLag } from './follower.ts';
import { ocsfEvent } from './ocsf.ts';
import type { Sink } from './sink.ts';

export interface NamedSink {
  readonly name: string;
  readonly sink: Sink;
  /** The first entry that it gets, when it is new. */
  readonly from: number;
}

/** Sends the whole log to a sink, as OCSF. Nothing is ever given up. */
export function createExporter(context: FollowerContext, { name, sink, from }: NamedSink): Follower {
  return createFollower(context, {
    cursor: name,
    from,
    steps: (entries, origin) => [
      {
        entries: entries.length,
        send: (signal) =>
          sink.deliver(
            entries.map(({ index, body }) => ({ index, body, ocsf: ocsfEvent(index, body, origin) })),
            signal,
          ),
      },
    ],
  });
}

/** Shows at each scrape how far each sink is behind. */
export function watchSinks(database: Database, registry: Registry): void {
  watchLag(database, registry, {
    name: 'hallpass_audit_sink_lag_events',
    help: 'Entries of the audit log that a sink has yet to get',
    label: 'sink',
    prefix: '',
  });
}
