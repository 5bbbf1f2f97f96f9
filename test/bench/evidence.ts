import { verifyLog } from '../../src/audit/verify.ts';
import { intendedEvent } from '../../src/broker/intend.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { preparePartitions } from '../../src/sequencer/sequencer.ts';
import { createCommitter } from '../../src/store/commit.ts';
import type { Database } from '../../src/store/database.ts';
import { openTestLog, silent, storedLog } from '../support/log.ts';
import { leaseRow, taskRow } from '../support/rows.ts';
import { embeddedStore, ownPostgresStore, type StoreUnderTest } from '../support/stores.ts';
import { opened } from './events.ts';

/** Commits under way at once. */
const CONCURRENCY = 512;

interface Figure {
  readonly what: string;
  readonly value: number;
}

/**
 * What the log costs, and how fast it is made and verified: `events` are committed as issuing does, with the sequencer
 * and without it, sequenced, and verified. On Postgres where it can be had, else on the embedded store.
 */
export async function measureEvidence(events: number): Promise<Record<string, unknown>[]> {
  const postgres = await ownPostgresStore();
  const store = postgres.ok ? postgres.store : await embeddedStore();
  const alone = await measured(store, (database) => measureAlone(database, events));
  const busy = await measured(store, (database) => measureBusy(database, events));
  await store.stop();
  return [...alone, ...busy].map((figure) => ({ ...figure, store: store.name }));
}

async function measureAlone(database: Database, events: number): Promise<Figure[]> {
  const alone = await issueLeases(database, events / 2);
  const { sequence, signer } = await openTestLog(database, systemRuntime);
  const sequenced = await timed(sequence);
  const verifying = await timed(async () => {
    const { findings } = await verifyLog(storedLog(database), { trusted: [signer.verifier], seen: [] });
    if (findings.length > 0) throw new Error(JSON.stringify(findings));
  });
  return [
    { what: 'hot path: events committed a second, nobody sequences', value: rate(events, alone) },
    { what: 'events sequenced a second', value: rate(events, sequenced) },
    { what: 'events verified a second, read from the store', value: rate(events, verifying) },
    {
      what: 'bytes of an event on disk, with its indexes, its leaf and its hashes',
      value: Math.round((await sizeOf(database)) / events),
    },
  ];
}

async function measureBusy(database: Database, events: number): Promise<Figure[]> {
  const { sequencer } = await openTestLog(database, systemRuntime);
  const stop = new AbortController();
  const running = sequencer.run(stop.signal);
  const busy = await issueLeases(database, events / 2);
  const [lag] = await database.query<{ count: string }>(
    {
      name: 'lag',
      text: 'select count(*)::text as count from audit_event e where not exists (select from log_leaf l where l.seq = e.seq)',
    },
    [],
  );
  stop.abort();
  await running;
  return [
    { what: 'hot path: events committed a second, while sequencing', value: rate(events, busy) },
    { what: 'events without an index at the end of that', value: Number(lag?.count) },
  ];
}

async function measured<T>(store: StoreUnderTest, run: (database: Database) => Promise<T>): Promise<T> {
  const database = await store.open();
  await preparePartitions(database, systemRuntime.now(), silent);
  const result = await run(database);
  await database.close();
  return result;
}

/** Commits as issuing does: a task with its lease and the two events that say so. */
async function issueLeases(database: Database, count: number): Promise<number> {
  const committer = createCommitter(database, systemRuntime);
  let left = Math.floor(count);
  const issue = async () => {
    while (left-- > 0) {
      const task = taskRow(systemRuntime);
      const lease = leaseRow(systemRuntime, task);
      const result = await committer.commit({
        newTask: task,
        newLeases: [lease],
        events: [opened(task), intendedEvent(lease)],
      });
      if (!result.ok) throw new Error(result.error);
    }
  };
  return timed(() => Promise.all(Array.from({ length: CONCURRENCY }, issue)));
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - from) / 1e9;
}

function rate(count: number, seconds: number): number {
  return Math.round(count / seconds);
}

/** Bytes on disk of the log: its events with their indexes, its leaves and its hashes. */
export async function sizeOf(database: Database): Promise<number> {
  const [row] = await database.query<{ bytes: string }>(
    {
      name: 'sizes',
      text: `select sum(pg_total_relation_size(c.oid))::text as bytes from pg_class c
        where c.relkind = 'r' and (c.relname like 'audit\\_event%' or c.relname in ('log_leaf', 'log_tile'))`,
    },
    [],
  );
  return Number(row?.bytes);
}
