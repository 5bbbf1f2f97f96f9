import { join } from 'node:path';
import { type Checkpoint, parseCheckpoint } from '../../src/audit/checkpoint.ts';
import type { AuditEvent, NewEvent } from '../../src/audit/event.ts';
import { parseVerifierKey, type VerifierKey } from '../../src/audit/note.ts';
import { parseProof, proofText, verifyProof } from '../../src/audit/proof.ts';
import { rangeHash, tilesFor } from '../../src/audit/tile.ts';
import { consistencyRanges, verifyConsistency } from '../../src/audit/tree.ts';
import { inclusionPath } from '../../src/broker/log.ts';
import { newId, systemRuntime } from '../../src/runtime.ts';
import type { Sequencer } from '../../src/sequencer/sequencer.ts';
import { startSequencer } from '../../src/sequencer/start.ts';
import { createCommitter } from '../../src/store/commit.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { type EventFilter, listEvents } from '../../src/store/events.ts';
import { logEntries, logKeys, readLogHead, readTiles } from '../../src/store/log.ts';
import { silent } from '../support/log.ts';
import { sizeOf } from './evidence.ts';
import { loadLifecycles } from './load.ts';
import { type LogFilling, openLogFilling } from './log-filling.ts';
import { round, rssOf, started, storeOf } from './scale.ts';
import { type BenchWorld, buildBenchWorld } from './world.ts';

/** What a broker does beside a log that has grown for half a year. */

const CONNECTIONS = 64;
const SPAN_MS = 180 * 86_400_000;
/** Commits of events alone, and those under way at once. Few, so that the log does not grow by being measured. */
const COMMITS = 10_000;
const COMMITTING = 512;
/** Questions of each kind, each about something else; fewer where they take longer than this together. */
const QUESTIONS = 20;
const LONG_ENOUGH_MS = 5_000;
const PAGE = 100;

/** A figure for each step, by what it is a figure of. */
type Figures = Readonly<Record<string, number | string>>;

/** Everything at up to `rows` events in one store that grows; a row of the table for each figure, a column for each step. */
export async function measureLogGrowth(
  rows: number,
  seconds: number,
  progress: (text: string) => void,
): Promise<Record<string, unknown>[]> {
  await using world = await buildBenchWorld();
  await liveOnce(world);
  const database = await openDatabase({ url: world.databaseUrl, directory: null });
  const sequencer = await openSequencer(world, database);
  const now = Date.now();
  const filling = await openLogFilling(database, { events: rows, from: now - SPAN_MS, to: now });
  const seen = [await checkpointOf(database)];
  const table = new Map<string, Record<string, unknown>>();
  for (const size of [0, 100_000, 1_000_000, 10_000_000].filter((step) => step < rows).concat(rows)) {
    const filled = await grow(database, filling, sequencer, size, progress);
    await rest(world);
    progress(`measuring beside ${size} events ...`);
    const log = { ...(await measureLog(database, sequencer, seen)), ...filled };
    await sequencer.drain();
    const figures = { ...(await measureBroker(world, seconds)), ...log };
    for (const [what, value] of Object.entries(figures))
      table.set(what, { ...(table.get(what) ?? { what }), [`${size.toLocaleString('en')} rows`]: value });
  }
  await database.close();
  return [...table.values()];
}

/** Starts a broker, so that there is a log, and has it live a task, which the filling copies. */
async function liveOnce(world: BenchWorld): Promise<void> {
  await started(world);
  await using broker = await world.startBroker();
  await loadLifecycles(broker.url, await world.token(), 'memory', 1, 0.01);
}

/** The log's sequencer as the broker starts it, with the broker's key, for while no broker runs. */
async function openSequencer(world: BenchWorld, database: Database): Promise<Sequencer> {
  const sequencer = await startSequencer(
    { database, runtime: systemRuntime, log: silent, committer: createCommitter(database, systemRuntime) },
    { url: 'http://127.0.0.1:7420', logKey: null, stateDirectory: join(world.folder, '.hallpass') },
  );
  if (sequencer === null) throw new Error('Cannot sequence the log: the key of its broker is not there');
  while ((await sequencer.tick()) > 0);
  return sequencer;
}

/** Fills the log up to `size` and sequences it meanwhile, so that little waits at any time. */
async function grow(
  database: Database,
  filling: LogFilling,
  sequencer: Sequencer,
  size: number,
  progress: (text: string) => void,
): Promise<Figures> {
  const before = (await readLogHead(database))?.size ?? 0;
  if (before >= size) return {};
  const begun = performance.now();
  let filled = before;
  let sequenced = before;
  let toldAt = begun;
  let isFilling = true;
  async function sequence(): Promise<void> {
    for (;;) {
      const isLast = !isFilling;
      const count = await sequencer.tick();
      sequenced += count;
      if (count === 0 && isLast) return;
      if (count === 0) await systemRuntime.sleep(10);
      if (performance.now() - toldAt < 10_000) continue;
      toldAt = performance.now();
      progress(`${sequenced} of ${size} events in the log, ${filled - sequenced} wait for their index ...`);
    }
  }
  const fill = filling.add(size - before, (events) => {
    filled += events;
  });
  const filledUp = fill.finally(() => {
    isFilling = false;
  });
  await Promise.all([filledUp, sequence()]);
  const perSecond = (sequenced - before) / ((performance.now() - begun) / 1000);
  return { 'filled and sequenced/s': Math.round(perSecond) };
}

/** What autovacuum would come to do, done now, so that it does not run beside what is measured. */
async function rest(world: BenchWorld): Promise<void> {
  const store = await storeOf(world);
  const { rows } = await store.query<{ name: string }>(
    `select relid::regclass::text as name from pg_partition_tree('audit_event') where isleaf`,
  );
  for (const name of [...rows.map(({ name }) => name), 'audit_pending', 'log_leaf', 'log_tile'])
    await store.query(`vacuum (analyze) ${name}`);
  await store.query('checkpoint');
  await store.end();
}

/** Searches, proofs, and commits of events alone. `seen` are trees that it had before; what it has now joins them. */
async function measureLog(database: Database, sequencer: Sequencer, seen: Checkpoint[]): Promise<Figures> {
  const checkpoint = await checkpointOf(database);
  const bytes = (await sizeOf(database)) / checkpoint.size;
  const searches = await measureSearches(database, checkpoint.size);
  const inclusion = await measureInclusion(database, checkpoint);
  const consistency = await measureConsistency(database, checkpoint, seen);
  seen.push(checkpoint);
  return {
    'events in the log': checkpoint.size,
    'bytes an event': Math.round(bytes),
    ...searches,
    'inclusion proof ms': inclusion,
    'consistency proof ms': consistency,
    ...(await measureCommits(database, sequencer)),
  };
}

/** Pages of events as `hallpass audit` asks for them: by what is indexed alone, and by instants in the midst of the log. */
async function measureSearches(database: Database, size: number): Promise<Figures> {
  const [oldest] = await listEvents(database, { kind: 'task.opened' }, null, 1);
  const some = (await someEntries(database, size)).map(
    ({ entry }) => JSON.parse(Buffer.from(entry).toString()) as AuditEvent,
  );
  const at = (event: AuditEvent) => Date.parse(event.at);
  const filters: Readonly<Record<string, (event: AuditEvent, i: number) => EventFilter>> = {
    'of a task': ({ about }) => ({ task: about.task ?? oldest?.event.about.task }),
    'of a subject, newest': (_, i) => ({ subject: `job-${i * 41}`, order: 'newest' }),
    'of a subject of an issuer, newest': (_, i) => ({
      issuer: 'ci',
      subject: `job-${i * 43}`,
      order: 'newest',
    }),
    'of an issuer without any': () => ({ issuer: 'none' }),
    'of a kind, newest': (event) => ({ kind: event.kind, order: 'newest' }),
    'of a rare kind': () => ({ kind: 'log.key-added' }),
    newest: () => ({ order: 'newest' }),
    'since an instant': (event) => ({ since: at(event) }),
    'until an instant, newest': (event) => ({ until: at(event), order: 'newest' }),
    'of a kind since an instant': (event) => ({ kind: event.kind, since: at(event) }),
    'of a subject since an instant': (event, i) => ({ subject: `job-${i * 47}`, since: at(event) }),
    'ends within an hour': (event) => ({
      outcome: 'revoked',
      since: at(event) - 3_600_000,
      until: at(event),
    }),
  };
  const figures: Record<string, string> = {};
  for (const [what, filter] of Object.entries(filters))
    figures[`${what} ms`] = await timed(some, (event, i) =>
      listEvents(database, filter(event, i), null, PAGE),
    );
  return figures;
}

/** A receipt of an entry, made from the tiles as the broker makes it, and verified with the log's key. */
async function measureInclusion(database: Database, { size, text }: Checkpoint): Promise<string> {
  const trusted = await trustedKeys(database);
  const receipts: string[] = [];
  const figure = await timed(await someEntries(database, size), async ({ index, entry }) => {
    const path = await inclusionPath({ database }, index, size);
    receipts.push(proofText({ index, path, checkpoint: text, extra: entry }));
  });
  for (const receipt of receipts) {
    const proof = parseProof(receipt);
    const verified = proof.ok ? verifyProof(proof.value, trusted) : proof;
    if (!verified.ok) throw new Error(`A receipt is not good: ${verified.error}`);
  }
  return figure;
}

/** The proof for a witness that saw an earlier tree, for each of those in turn, and each verified. */
async function measureConsistency(
  database: Database,
  { size, root }: Checkpoint,
  seen: readonly Checkpoint[],
): Promise<string> {
  const asked = Array.from({ length: Math.ceil(QUESTIONS / seen.length) }, () => seen).flat();
  const proofs: { readonly old: Checkpoint; readonly hashes: Uint8Array[] }[] = [];
  const figure = await timed(asked, async (old) => {
    const ranges = consistencyRanges(old.size, size);
    const tiles = await readTiles(database, tilesFor(ranges, size));
    const stored = new Map(tiles.map(({ level, n, hashes }) => [`${level}/${n}`, hashes]));
    const hashes = ranges.map((range) => rangeHash(range, (level, n) => stored.get(`${level}/${n}`)));
    proofs.push({ old, hashes });
  });
  for (const { old, hashes } of proofs)
    if (!verifyConsistency(old.size, old.root, size, root, hashes))
      throw new Error(`The log does not go on from what it was at ${old.size} entries`);
  return figure;
}

/** Commits of two events each, as opening a task makes them, while they are sequenced; and how soon all have their index. */
async function measureCommits(database: Database, sequencer: Sequencer): Promise<Figures> {
  const committer = createCommitter(database, systemRuntime);
  const [opened] = await listEvents(database, { kind: 'task.opened' }, null, 1);
  const [intended] = await listEvents(database, { kind: 'lease.intended' }, null, 1);
  if (!opened || !intended) throw new Error('The log has no lifecycle');
  const stop = new AbortController();
  const running = sequencer.run(stop.signal);
  const begun = performance.now();
  let left = COMMITS;
  const commitInTurn = async () => {
    while (left-- > 0) {
      const task = newId(systemRuntime);
      const events = [opened, intended].map(({ event: { kind, actor, about, data } }) => {
        const lease = about.lease === undefined ? {} : { lease: newId(systemRuntime) };
        return { kind, actor, about: { ...about, task, ...lease }, data } as NewEvent;
      });
      const result = await committer.commit({ events });
      if (!result.ok) throw new Error(result.error);
    }
  };
  await Promise.all(Array.from({ length: COMMITTING }, commitInTurn));
  const committed = performance.now() - begun;
  while ((await readLogHead(database))?.waiting) await systemRuntime.sleep(10);
  const sequenced = performance.now() - begun;
  stop.abort();
  await running;
  return {
    'events committed/s while sequencing': Math.round((2 * COMMITS * 1000) / committed),
    'events committed and sequenced/s': Math.round((2 * COMMITS * 1000) / sequenced),
  };
}

/** A broker over it: how soon it serves, what it takes, and lifecycles. */
async function measureBroker(world: BenchWorld, seconds: number): Promise<Figures> {
  const begun = performance.now();
  await using broker = await world.startBroker();
  const readyMs = performance.now() - begun;
  const rss = await rssOf(broker);
  const token = await world.token();
  await loadLifecycles(broker.url, token, 'memory', CONNECTIONS, 2);
  const load = await loadLifecycles(broker.url, token, 'memory', CONNECTIONS, seconds);
  return {
    'ready ms': Math.round(readyMs),
    'RSS at start MB': rss,
    'lifecycles/s': Math.round(load.perSecond),
    'issue p50 ms': round(load.open.p50),
    'issue p99 ms': round(load.open.p99),
  };
}

async function checkpointOf(database: Database): Promise<Checkpoint> {
  const checkpoint = parseCheckpoint((await readLogHead(database))?.checkpoint ?? '');
  if (!checkpoint.ok) throw new Error(`The log has no checkpoint: ${checkpoint.error}`);
  return checkpoint.value;
}

/** Entries from anywhere in the log. */
async function someEntries(
  database: Database,
  size: number,
): Promise<{ readonly index: number; readonly entry: Uint8Array }[]> {
  const indexes = Array.from({ length: QUESTIONS }, () => Math.floor(Math.random() * size));
  return Promise.all(
    indexes.map(async (index) => {
      const [entry = new Uint8Array()] = await logEntries(database, index, index + 1);
      return { index, entry };
    }),
  );
}

async function trustedKeys(database: Database): Promise<VerifierKey[]> {
  return (await logKeys(database)).map(parseVerifierKey).filter((key) => key !== null);
}

/** Asks one after the other: milliseconds that the middle one took, and the slowest. */
async function timed<T>(
  questions: readonly T[],
  ask: (question: T, i: number) => Promise<unknown>,
): Promise<string> {
  const times: number[] = [];
  const first = performance.now();
  for (const [i, question] of questions.entries()) {
    const begun = performance.now();
    if (begun - first > LONG_ENOUGH_MS) break;
    await ask(question, i);
    times.push(performance.now() - begun);
  }
  times.sort((a, b) => a - b);
  return `${round(times[times.length >> 1] ?? Number.NaN)}, most ${round(times.at(-1) ?? Number.NaN)}`;
}
