import { randomBytes } from 'node:crypto';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import pino from 'pino';
import type { NewEvent } from '../../src/audit/event.ts';
import { aboutLease, aboutTask } from '../../src/broker/about.ts';
import { intendedEvent } from '../../src/broker/intend.ts';
import { changeLease, committed } from '../../src/broker/lease.ts';
import { instant } from '../../src/instant.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { preparePartitions } from '../../src/sequencer/sequencer.ts';
import { startSequencer } from '../../src/sequencer/start.ts';
import { createCommitter, type Unit } from '../../src/store/commit.ts';
import { openDatabase } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import type { LeaseRow, TaskRow } from '../../src/store/rows.ts';
import { leaseRow, taskRow } from '../support/rows.ts';
import { MIGRATIONS } from '../support/stores.ts';
import { holder, opened } from './events.ts';

/**
 * A yardstick between the sketch and the broker: the same two requests over the broker's own store. Four commits with
 * their rows, versions, events and indexes, and a log that is sequenced and signed; but nobody is asked who he is, and
 * nothing is permitted, minted, ended or read. What the broker itself takes is the difference to it.
 */
const [url = '', stateDirectory = ''] = process.argv.slice(2);
const runtime = systemRuntime;
const log = pino({ level: 'warn' });
const database = await openDatabase({ url, directory: stateDirectory });
await migrate(database, MIGRATIONS);
await preparePartitions(database, runtime.now(), log);
const committer = createCommitter(database, runtime);
const sequencer = await startSequencer(
  { database, runtime, log, committer },
  { url: 'http://127.0.0.1:7420', logKey: null, stateDirectory },
);
void sequencer?.run(new AbortController().signal);

const system = { kind: 'system' } as const;
const UNSEEN = { verdict: 'unknown', why: 'not-observed' } as const;

/** A task and its lease, as they are stored. */
interface Pair {
  readonly task: TaskRow;
  readonly lease: LeaseRow;
}

async function commit(unit: Unit): Promise<void> {
  const written = await committer.commit(unit);
  if (!written.ok) throw new Error(`A commit met a conflict: ${written.error}`);
}

async function begin(): Promise<Pair> {
  const task = taskRow(runtime, { tokenHash: randomBytes(32).toString('base64url') });
  const minting = leaseRow(runtime, task);
  await commit({ newTask: task, newLeases: [minting], events: [opened(task), intendedEvent(minting)] });
  const { expiresAt } = minting;
  const lease = changeLease(minting, {
    do: 'issue',
    issuedAt: runtime.now(),
    expiresAt,
    dueAt: expiresAt,
    handle: { name: minting.name },
    sealed: null,
  });
  await commit({ changedLeases: [lease], events: [issued(lease)] });
  return { task, lease: committed(lease) };
}

async function complete({ task, lease }: Pair): Promise<void> {
  const at = runtime.now();
  const ended: TaskRow = { ...task, state: 'ended', endedAt: at, endReason: 'completed' };
  const ending = changeLease(lease, {
    do: 'begin-ending',
    reason: 'completed',
    at,
    dueAt: at + 60_000,
    attempts: 1,
  });
  await commit({
    changedTask: ended,
    changedLeases: [ending],
    events: [done(task), leaseEnding(task, ending)],
  });
  const gone = changeLease(committed(ending), {
    do: 'end',
    at,
    outcome: 'revoked',
    evidence: { deleted: true },
    use: UNSEEN,
  });
  await commit({ changedLeases: [gone], events: [leaseEnded(gone)] });
}

function issued(lease: LeaseRow): NewEvent {
  const data = { expiresAt: instant(lease.expiresAt), sealed: false };
  return { kind: 'lease.issued', actor: system, about: aboutLease(lease), data };
}

function done(task: TaskRow): NewEvent {
  const data = { reason: 'completed', exitStatus: null } as const;
  return { kind: 'task.ended', actor: holder(task), about: aboutTask(task), data };
}

function leaseEnding(task: TaskRow, lease: LeaseRow): NewEvent {
  return {
    kind: 'lease.ending',
    actor: holder(task),
    about: aboutLease(lease),
    data: { reason: 'completed' },
  };
}

function leaseEnded(lease: LeaseRow): NewEvent {
  const { evidence } = lease;
  const data = { outcome: 'revoked', reason: 'completed', evidence, use: UNSEEN } as const;
  return { kind: 'lease.ended', actor: system, about: aboutLease(lease), data };
}

const begun = new Map<string, Pair>();
const app = new Hono();

app.post('/v1/tasks', async (c) => {
  await c.req.json();
  const pair = await begin();
  const { id } = pair.task;
  begun.set(id, pair);
  return c.json({
    task: { id },
    token: randomBytes(32).toString('base64url'),
    credentials: { c: pair.lease.id },
  });
});

app.post('/v1/tasks/:id/complete', async (c) => {
  const id = c.req.param('id');
  const pair = begun.get(id);
  if (pair === undefined) return c.notFound();
  begun.delete(id);
  await complete(pair);
  return c.json({ task: { id, state: 'ended' } });
});

serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) =>
  process.send?.({ url: `http://127.0.0.1:${port}` }),
);
process.once('SIGTERM', () => process.exit());
process.once('disconnect', () => process.exit());
