import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import { type Runtime, withDeadline } from '../runtime.ts';
import type { Database } from '../store/database.ts';
import { logEntries, readLogHead } from '../store/log.ts';
import { advanceSink, claimSink, openSink, sinkLag } from '../store/sinks.ts';
import { ocsfEvent } from './ocsf.ts';
import type { Sink } from './sink.ts';

/** Entries in one delivery. */
const BATCH = 500;
/** How long a delivery may take: longer, and the other side is taken to be away. */
const DELIVERY_MS = 30_000;
/** For how long a claim holds: longer than a delivery, so that no two processes deliver at once. */
const CLAIM_MS = 2 * DELIVERY_MS;
const IDLE_MS = 1_000;
/** The first wait after a failure; it doubles each time, up to the longest. There is no last attempt. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;

export interface NamedSink {
  readonly name: string;
  readonly sink: Sink;
  /** The first entry that it gets, when it is new. */
  readonly from: number;
}

export interface ExportContext {
  readonly database: Database;
  readonly runtime: Runtime;
  readonly log: Logger;
  /** Names this process among the replicas. */
  readonly holder: string;
}

/**
 * Sends the log to a sink: from its cursor on, in order, one replica at a time. The cursor moves when the sink has the
 * entries, so a sink that is down delays them and never loses one; a process that dies in between delivers them again.
 */
export interface Exporter {
  /** Delivers one batch; answers how many entries that were. */
  tick(): Promise<number>;
  run(signal: AbortSignal): Promise<void>;
}

export function createExporter(
  { database, runtime, log, holder }: ExportContext,
  target: NamedSink,
): Exporter {
  const { name, sink } = target;
  let isOpen = false;

  async function tick(): Promise<number> {
    if (!isOpen) await openSink(database, name, target.from);
    isOpen = true;
    const claim = await claimSink(database, name, holder, runtime.now(), CLAIM_MS);
    const head = await readLogHead(database);
    if (claim === null || head === null) return 0;
    const start = Math.max(claim.next, head.minimumIndex);
    const end = Math.min(head.size, start + BATCH);
    if (end <= start) return 0;
    const bodies = await logEntries(database, start, end);
    const entries = bodies.map((bytes, i) => {
      const body = Buffer.from(bytes).toString();
      if (body === '') throw new Error(`entry ${start + i} of the log is gone`);
      return { index: start + i, body, ocsf: ocsfEvent(start + i, body, head.origin) };
    });
    await withDeadline(runtime, DELIVERY_MS, (signal) => sink.deliver(entries, signal));
    // Delivered, and the cursor not yet moved: whoever dies here delivers again.
    await advanceSink(database, name, claim.fence, end);
    return entries.length;
  }

  async function run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      let waitMs = 0;
      try {
        if ((await tick()) === 0) waitMs = IDLE_MS;
        failures = 0;
      } catch (error) {
        waitMs = Math.min(FIRST_RETRY_MS * 2 ** failures++, LONGEST_RETRY_MS);
        log.warn(
          { sink: name, err: error, waitMs },
          'cannot deliver the audit log to a sink: it will be tried again',
        );
      }
      if (waitMs > 0) await runtime.sleep(waitMs, signal).catch(() => {});
    }
  }

  return { tick, run };
}

/** Shows at each scrape how far each sink is behind. */
export function watchSinks(database: Database, registry: Registry): void {
  const labelNames = ['sink'] as const;
  new Gauge({
    name: 'hallpass_audit_sink_lag_events',
    help: 'Entries of the audit log that a sink has yet to get',
    labelNames,
    registers: [registry],
    async collect() {
      for (const { name, lag } of await sinkLag(database)) this.set({ sink: name }, lag);
    },
  });
}
