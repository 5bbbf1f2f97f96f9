import fc from 'fast-check';
import pg from 'pg';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { parseCheckpoint, signersOf } from '../../src/audit/checkpoint.ts';
import type { NewEvent } from '../../src/audit/event.ts';
import { sha256 } from '../../src/json.ts';
import { newId } from '../../src/runtime.ts';
import { passingMemory } from '../../src/sequencer/memory.ts';
import { createSequencer } from '../../src/sequencer/sequencer.ts';
import { type Committer, createCommitter } from '../../src/store/commit.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { logEntries, readLogHead, readTiles } from '../../src/store/log.ts';
import { faulty, newSigner, noted, ORIGIN, openTestLog, silent } from '../support/log.ts';
import { slowRoot, slowTiles } from '../support/merkle.ts';
import { createTestRuntime, type TestRuntime, until } from '../support/runtime.ts';
import { embeddedStore, postgresStore } from '../support/stores.ts';

const postgres = await postgresStore();
const store = postgres.ok ? postgres.store : await embeddedStore();
let database: Database;
let runtime: TestRuntime;
let committer: Committer;

beforeEach(async () => {
  database = await store.open();
  runtime = createTestRuntime();
  committer = createCommitter(database, runtime);
});
afterEach(() => database.close());
afterAll(() => store.stop());

async function commit(count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => committer.commit({ events: [noted(`${i}`)] })));
}

async function rows<Row>(text: string): Promise<Row[]> {
  return database.query<Row>({ name: sha256(text).slice(0, 20), text }, []);
}

/** Everything that must hold of a log: signed, complete, each event once, and its tiles those of the plain tree. */
async function checkLog(signers = [signer.verifier]): Promise<number> {
  const head = (await readLogHead(database))!;
  if (head.checkpoint === null) return 0;
  const checkpoint = parseCheckpoint(head.checkpoint);
  if (!checkpoint.ok) throw new Error(checkpoint.error);
  expect(signersOf(checkpoint.value, signers)).toMatchObject({ ok: true });
  expect(checkpoint.value.size).toBe(head.size);
  const entries = await logEntries(database, 0, head.size);
  expect(entries.every((entry) => entry.length > 0)).toBe(true);
  expect(new Set(entries.map(String)).size).toBe(head.size);
  expect(Buffer.from(checkpoint.value.root).equals(slowRoot(entries))).toBe(true);
  const tiles = slowTiles(entries);
  const stored = await readTiles(
    database,
    [...tiles.keys()].map((key) => ({ level: Number(key.split('/')[0]), n: Number(key.split('/')[1]) })),
  );
  expect(
    new Map(stored.map((tile) => [`${tile.level}/${tile.n}`, Buffer.from(tile.hashes).toString('hex')])),
  ).toEqual(new Map([...tiles].map(([key, tile]) => [key, tile.toString('hex')])));
  return head.size;
}

const signer = newSigner();

/** What a process has that sees the log for the first time. */
function unseen() {
  return {
    memory: passingMemory(),
    report: (event: NewEvent) => committer.commit({ events: [event] }),
  };
}

test('tick: events get their indexes in batches, and each checkpoint is signed over the whole tree', async () => {
  const { sequence, sequencer } = await openTestLog(database, runtime, { signer });
  expect(await sequencer.tick()).toBe(0);
  for (const count of [1, 3, 300, 700]) {
    await commit(count);
    expect(await sequence()).toBe(count);
    await checkLog();
  }
  expect(await checkLog()).toBe(1004);
  expect((await readLogHead(database))?.waiting).toBe(false);
});

test('tick: an event that commits after later ones did is not lost', async (ctx) => {
  if (!postgres.ok) return ctx.skip(postgres.reason);
  const url = await postgres.freshUrl('migrated');
  await database.close();
  database = await openDatabase({ url, directory: null });
  committer = createCommitter(database, runtime);
  const { sequence } = await openTestLog(database, runtime, { signer });
  const slow = new pg.Client({ connectionString: url });
  await slow.connect();
  await slow.query('begin');
  await slow.query(`
    with e as (
      insert into audit_event (id, at, kind, body) values ('late', '2026-03-01', 'late', '{"late":true}') returning seq, at)
    insert into audit_pending (at, seqs) select at, array[seq] from e`);
  const broken = new pg.Client({ connectionString: url });
  await broken.connect();
  await broken.query(
    "begin; insert into audit_event (id, at, kind, body) values ('x', '2026-03-01', 'x', '{}'); rollback",
  );
  await broken.end();
  await commit(4);
  expect(await sequence()).toBe(4);
  await slow.query('commit');
  await slow.end();
  await commit(1);
  expect(await sequence()).toBe(2);
  expect(String((await logEntries(database, 4, 5))[0])).toBe('{"late":true}');
  expect(await checkLog()).toBe(6);
});

test('tick: two replicas that contend give every event one index, and one tree', async () => {
  const one = await openTestLog(database, runtime, { signer, holder: 'one' });
  const two = await openTestLog(database, runtime, { signer, holder: 'two' });
  for (let round = 0; round < 8; round++) {
    await Promise.all([
      commit(20),
      one.sequencer.tick(),
      two.sequencer.tick(),
      one.sequencer.tick(),
      two.sequencer.tick(),
    ]);
    // The holder's claim runs out, and the other takes over.
    if (round % 2 === 1) runtime.jump(11_000);
  }
  runtime.jump(11_000);
  await two.sequence();
  expect(await checkLog()).toBe(160);
});

test('tick: a holder that was overtaken writes nothing', async () => {
  const one = await openTestLog(database, runtime, { signer, holder: 'one' });
  await commit(5);
  let overtaken = false;
  const late = createSequencer({
    database: {
      ...database,
      async query(statement, parameters) {
        if (statement.name === 'append_to_log' && !overtaken) {
          overtaken = true;
          runtime.jump(10_001);
          expect(await one.sequence()).toBe(5);
        }
        return database.query(statement, parameters);
      },
    },
    runtime,
    log: silent,
    origin: ORIGIN,
    signers: [signer],
    holder: 'late',
    ...unseen(),
  });
  expect(await late.tick()).toBe(0);
  expect(overtaken).toBe(true);
  expect(await checkLog()).toBe(5);
});

test('tick: a claim is taken once while it is prolonged, and its holder notices when it is lost', async () => {
  const names: string[] = [];
  let before = async (_statement: string) => {};
  const watched: Database = {
    ...database,
    async query(statement, parameters) {
      names.push(statement.name);
      await before(statement.name);
      return database.query(statement, parameters);
    },
  };
  const claims = () => names.splice(0).filter((name) => name === 'claim_log').length;
  const one = await openTestLog(watched, runtime, { signer, holder: 'one' });
  let aheadMs = 0;
  const clock = { ...runtime, now: () => runtime.now() + aheadMs };
  const two = await openTestLog(database, clock, { signer, holder: 'two' });
  for (let i = 0; i < 5; i++) {
    await commit(2);
    expect(await one.sequencer.tick()).toBe(2);
    expect(await two.sequencer.tick()).toBe(0);
    runtime.jump(2_000);
  }
  expect(claims()).toBe(1);
  // Overtaken between its look at the head and its write, by one whose clock is ahead.
  await commit(2);
  before = async (statement) => {
    if (statement !== 'append_to_log') return;
    before = async () => {};
    aheadMs = 5_001;
    expect(await two.sequencer.tick()).toBe(2);
  };
  expect(await one.sequencer.tick()).toBe(0);
  expect(claims()).toBe(0);
  await commit(1);
  expect(await one.sequencer.tick()).toBe(0);
  expect(claims()).toBe(1);
  expect(await two.sequencer.tick()).toBe(1);
  expect(await checkLog()).toBe(13);
});

test('tick: killed before or after any of its statements, it loses nothing and forks nothing', async () => {
  await openTestLog(database, runtime, { signer });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ statement: fc.nat({ max: 9 }), phase: fc.constantFrom('before', 'after') }), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.integer({ min: 1, max: 40 }),
      async (kills, events) => {
        const before = (await readLogHead(database))!.size;
        await commit(events);
        for (const [i, kill] of kills.entries()) {
          let count = 0;
          const dying = faulty(database, (_, phase) => {
            if (phase === 'before') count++;
            if (count === kill.statement && phase === kill.phase) throw new Error('killed');
          });
          const holder = newId(runtime);
          const sequencer = createSequencer({
            database: dying,
            runtime,
            log: silent,
            origin: ORIGIN,
            signers: [signer],
            holder,
            ...unseen(),
          });
          await sequencer.tick().catch((error: Error) => expect(error.message).toBe('killed'));
          if (i % 2 === 0) runtime.jump(10_001);
        }
        runtime.jump(10_001);
        const { sequence } = await openTestLog(database, runtime, { signer, holder: newId(runtime) });
        await sequence();
        expect(await checkLog()).toBe(before + events);
      },
    ),
    { numRuns: 12 },
  );
});

test('tick: a clock that goes back stops nobody for long', async () => {
  const one = await openTestLog(database, runtime, { signer, holder: 'one' });
  await commit(2);
  expect(await one.sequence()).toBe(2);
  runtime.jump(-3_600_000);
  await commit(2);
  expect(await one.sequence()).toBe(2);
  runtime.jump(86_400_000);
  await commit(1);
  expect(await one.sequence()).toBe(1);
  // The claim reaches a day ahead of the clock that was put right: nobody waits for it.
  runtime.jump(-86_400_000);
  const two = await openTestLog(database, runtime, { signer, holder: 'two' });
  await commit(1);
  expect(await two.sequence()).toBe(1);
  expect(await checkLog()).toBe(6);
});

test('tick: refuses to sign on over a tree that somebody changed', async () => {
  const { sequencer, sequence } = await openTestLog(database, runtime, { signer });
  await commit(10);
  await sequence();
  const saved = await rows<{ hashes: Uint8Array }>("select encode(hashes, 'hex') as hashes from log_tile");
  const tampers = [
    'update log_tile set hashes = set_byte(hashes, 5, (get_byte(hashes, 5) + 1) % 256)',
    'update log_tile set hashes = substr(hashes, 33)',
    'delete from log_tile',
    'update log_head set root = sha256(root)',
    'update log_head set size = size - 1',
    'update log_head set checkpoint = null',
    "update log_head set checkpoint = replace(checkpoint, 'broker.test', 'broker.evil')",
  ];
  for (const tamper of tampers) {
    const [head] = await rows<Record<string, unknown>>(
      "select size, encode(root, 'hex') as root, checkpoint from log_head",
    );
    await rows(tamper);
    await commit(1);
    await expect(sequencer.tick(), tamper).rejects.toThrow('Cannot go on with the audit log');
    await database.query(
      { name: 'mend_head', text: "update log_head set size = $1, root = decode($2, 'hex'), checkpoint = $3" },
      [head!.size, head!.root, head!.checkpoint],
    );
    await database.query(
      {
        name: 'mend',
        text: "insert into log_tile values (0, 0, decode($1, 'hex')) on conflict (level, n) do update set hashes = excluded.hashes",
      },
      [saved[0]!.hashes],
    );
  }
  await sequence();
  // One of them changed the head itself, and the log says so.
  expect(await checkLog()).toBe(10 + tampers.length + 1);
});

test('tick: refuses to go on from a head that went back', async () => {
  const { sequencer, sequence } = await openTestLog(database, runtime, { signer });
  await commit(3);
  await sequence();
  await rows('create table saved as select * from log_head');
  const tile = await rows<{ hashes: string }>("select encode(hashes, 'hex') as hashes from log_tile");
  await commit(3);
  await sequence();
  await rows('update log_head h set size = s.size, root = s.root, checkpoint = s.checkpoint from saved s');
  await rows(`update log_tile set hashes = decode('${tile[0]!.hashes}', 'hex')`);
  await commit(1);
  await expect(sequencer.tick()).rejects.toThrow('went back from 6 to 3');
});

test('run: sequences what comes, and says and outlives a store that fails', async () => {
  await openTestLog(database, runtime, { signer });
  let fail = false;
  const sequencer = createSequencer({
    database: faulty(database, () => {
      if (fail) throw new Error('away');
    }),
    runtime,
    log: silent,
    origin: ORIGIN,
    signers: [signer],
    holder: 'one',
    ...unseen(),
  });
  const stop = new AbortController();
  const running = sequencer.run(stop.signal);
  const settled = async (size: number) => {
    for (let i = 0; i < 100 && (await readLogHead(database))!.size !== size; i++) {
      await until(() => runtime.sleeping() > 0);
      await runtime.advance(250);
    }
    expect((await readLogHead(database))!.size).toBe(size);
  };
  await commit(4);
  await settled(4);
  fail = true;
  await commit(2);
  await until(() => runtime.sleeping() > 0);
  await runtime.advance(3_000);
  fail = false;
  await settled(6);
  stop.abort();
  await running;
  expect(await checkLog()).toBe(6);
});
