import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import type { NewEvent } from '../audit/event.ts';
import { createLoop, doubling, type Loop } from '../loop.ts';
import { type Runtime, withDeadline } from '../runtime.ts';
import type { Database } from '../store/database.ts';
import { type LogHead, logEntries, readLogHead } from '../store/log.ts';
import {
  advanceSink,
  claimSink,
  countRefusal,
  giveUpEntries,
  openSink,
  releaseSink,
  type SinkClaim,
  sinkPlaces,
} from '../store/sinks.ts';
import { Refused, SinkError } from './sink.ts';

/** Entries that are read at a time. */
const BATCH = 500;
/** How long a delivery may take: longer, and the other side is taken to be away. */
const DELIVERY_MS = 30_000;
/** For how long a claim holds: longer than a delivery, so that no two processes deliver at once. */
const CLAIM_MS = 2 * DELIVERY_MS;
const IDLE_MS = 1_000;
/** The first wait after a failure; it doubles each time, up to the longest. There is no last attempt. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
/** Refusals for good after which a step is given up, where it may be: half a minute, for a mistake that is soon mended. */
const MAX_REFUSALS = 6;

export interface LogEntry {
  readonly index: number;
  /** The event, byte for byte as it is hashed. */
  readonly body: string;
}

/** What is sent in one piece, and then counts as sent. */
export interface Step {
  /** How many entries are done with it. */
  readonly entries: number;
  /** Resolves when the other side has it. Throws otherwise, and is called again: it may arrive twice. */
  send(signal: AbortSignal): Promise<void>;
  /** What the log says once the other side has refused it for good so many times; absent: it is never given up. */
  readonly givenUp?: (refusals: number, detail: string) => NewEvent;
}

/** Somebody who gets the log, or what he wants of it, in its order. */
export interface Consumer {
  /** Names its cursor in the store, and it in the process log. */
  readonly cursor: string;
  /** The first entry that it gets when it is new; `end`: none that is there before. */
  readonly from: number | 'end';
  /** Divides entries that follow one another into what is sent in one piece each; together they hold them all. */
  steps(entries: readonly LogEntry[], origin: string): readonly Step[];
}

export interface FollowerContext {
  readonly database: Database;
  readonly runtime: Runtime;
  readonly log: Logger;
  /** Names this process among the replicas. */
  readonly holder: string;
}

/**
 * Sends the log to a consumer: from its cursor on, in order, one replica at a time. The cursor moves when the other side
 * has a step, so one that is down delays and never loses; a process that dies in between sends the step again. `tick`
 * goes through one batch, and answers how many entries that were.
 */
export interface Follower extends Loop {
  /** Makes the cursor of a consumer that is new. */
  open(): Promise<void>;
}

export function createFollower(
  { database, runtime, log, holder }: FollowerContext,
  consumer: Consumer,
): Follower {
  const { cursor } = consumer;
  let isOpen = false;
  /** Where entries were missing that are archived. */
  let passed: number | undefined;
  let stopping: AbortSignal | undefined;

  async function open(): Promise<void> {
    const head = isOpen ? null : await readLogHead(database);
    if (head === null) return;
    await openSink(database, cursor, consumer.from === 'end' ? head.size : consumer.from);
    isOpen = true;
  }

  const claim = () => claimSink(database, cursor, holder, runtime.now(), CLAIM_MS);

  async function tick(): Promise<number> {
    await open();
    const claimedAt = runtime.now();
    const first = await claim();
    const head = await readLogHead(database);
    if (first === null || head === null) return 0;
    const entries = await read(first.next, head);
    const start = entries[0]?.index;
    if (start === undefined) return 0;
    let next = start;
    for (const step of consumer.steps(entries, head.origin)) {
      if (stopping?.aborted) break;
      // A step that is sent ends while the claim holds; somebody else may have taken over meanwhile.
      const isFresh = next === start && Math.abs(runtime.now() - claimedAt) < CLAIM_MS - DELIVERY_MS;
      const held = isFresh ? first : await claim();
      if (held === null || held.next !== (next === start ? first.next : next)) break;
      next += step.entries;
      await take(step, held, next);
    }
    return next - start;
  }

  /** The entries that come next. Those that were archived before they were sent are not here any more: they are passed over, aloud. */
  async function read(next: number, head: LogHead): Promise<readonly LogEntry[]> {
    const bodies = await logEntries(database, next, Math.min(head.size, next + BATCH));
    const entries = bodies.map((body, i) => ({ index: next + i, body: Buffer.from(body).toString() }));
    const gone = entries.find(({ body }) => body === '');
    if (gone === undefined) return entries;
    if (gone.index >= head.minimumIndex) throw new Error(`entry ${gone.index} of the log is gone`);
    if (gone.index > next) return entries.slice(0, gone.index - next);
    if (passed !== next) {
      const what = { consumer: cursor, from: next, to: head.minimumIndex };
      log.error(what, 'entries of the audit log were archived before they were sent: they are passed over');
    }
    passed = next;
    return read(head.minimumIndex, head);
  }

  async function take(step: Step, held: SinkClaim, next: number): Promise<void> {
    try {
      await withDeadline(runtime, DELIVERY_MS, (signal) => step.send(signal), stopping);
    } catch (error) {
      if (!(error instanceof Refused) || step.givenUp === undefined) throw error;
      if (held.refusals + 1 < MAX_REFUSALS) {
        await countRefusal(database, cursor, held.fence);
        throw error;
      }
      const event = step.givenUp(held.refusals + 1, error.message);
      await giveUpEntries(database, runtime, cursor, held.fence, next, event);
      log.error({ consumer: cursor, err: error }, 'what was refused again and again was given up');
      return;
    }
    // Sent, and the cursor not yet moved: whoever dies here sends again.
    await advanceSink(database, cursor, held.fence, next);
  }

  const wait = doubling(FIRST_RETRY_MS, LONGEST_RETRY_MS);
  const pace = { busyMs: 0, idleMs: IDLE_MS, retryMs: retryAfter };
  function retryAfter(failures: number, error: unknown): number {
    const asked = error instanceof SinkError ? (error.retryAfterMs ?? 0) : 0;
    return Math.min(Math.max(wait(failures, error), asked), LONGEST_RETRY_MS);
  }
  const loop = createLoop(runtime, pace, tick, (error, waitMs) =>
    log.warn(
      { consumer: cursor, err: error, waitMs },
      'cannot send the audit log on: it will be tried again',
    ),
  );

  async function run(signal: AbortSignal): Promise<void> {
    stopping = signal;
    await loop.run(signal);
    // Whoever comes next need not wait for the claim to run out.
    await releaseSink(database, cursor, holder).catch(() => {});
  }

  return { open, tick, run };
}

/** Consumers of one kind, whose cursors begin with `prefix`. Those of sinks have no colon in them. */
export interface LagGauge {
  readonly name: string;
  readonly help: string;
  readonly label: string;
  readonly prefix: string;
}

/** Shows at each scrape how far each of some consumers is behind. */
export function watchLag(database: Database, registry: Registry, { prefix, ...gauge }: LagGauge): void {
  new Gauge({
    name: gauge.name,
    help: gauge.help,
    labelNames: [gauge.label],
    registers: [registry],
    async collect() {
      for (const { name, lag } of await sinkPlaces(database)) {
        const isOwn = prefix === '' ? !name.includes(':') : name.startsWith(prefix);
        if (isOwn) this.set({ [gauge.label]: name.slice(prefix.length) }, lag);
      }
    },
  });
}
