import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { LOG_MEMORY_FILE, openLogMemory, passingMemory } from '../../src/sequencer/memory.ts';
import { type Committer, createCommitter } from '../../src/store/commit.ts';
import type { Database } from '../../src/store/database.ts';
import { listEvents } from '../../src/store/events.ts';
import { readLogHead } from '../../src/store/log.ts';
import { newSigner, noted, ORIGIN, openTestLog } from '../support/log.ts';
import { createTestRuntime, type TestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const TABLES = ['audit_event', 'audit_pending', 'log_head', 'log_leaf', 'log_tile'];

const store = await anyStore();
const signer = newSigner();
let database: Database;
let runtime: TestRuntime;
let committer: Committer;
let folder: string;

beforeEach(async () => {
  database = await store.open();
  runtime = createTestRuntime();
  committer = createCommitter(database, runtime);
  folder = mkdtempSync(join(tmpdir(), 'hallpass-log-memory-'));
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await database.close();
});
afterAll(() => store.stop());

async function commit(count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => committer.commit({ events: [noted(`${i}`)] })));
}

/** A process that starts on the store, with the memory of this folder. */
function start(holder = 'one') {
  return openTestLog(database, runtime, { signer, holder, memory: openLogMemory(folder, ORIGIN, runtime) });
}

/** What whoever owns the tables can do: keep all of the log, and put it back. */
async function backUp(name: string): Promise<void> {
  await database.script(TABLES.map((t) => `create table ${name}_${t} as select * from ${t}`).join(';'));
}

async function putBack(name: string): Promise<void> {
  const guarded = ['audit_event', 'audit_event_default', 'log_leaf'];
  const set = (how: string) => guarded.map((t) => `alter table ${t} ${how} trigger all`).join(';');
  const put = TABLES.map(
    (t) => `delete from ${t}; insert into ${t} overriding system value select * from ${name}_${t}`,
  );
  await database.script(`${set('disable')};${put.join(';')};${set('enable')}`);
}

async function accusations() {
  const events = await listEvents(database, { kind: 'log.went-back' }, null, 100);
  return events.map(({ event }) => event.data);
}

const sizes = { seen: expect.objectContaining({ size: 6 }), found: expect.objectContaining({ size: 3 }) };

/** A log of six entries, and the store as it was at three. */
async function grown() {
  const first = await start();
  await commit(3);
  await first.sequence();
  await backUp('earlier');
  await commit(3);
  await first.sequence();
  return first;
}

test('createSequencer: a store that was put back while nobody ran is not signed on, and it is said', async () => {
  const first = await grown();
  await first.sequencer.drain();
  await backUp('true');
  await putBack('earlier');
  const { sequencer } = await start();
  expect(sequencer.fault).toBeNull();
  await expect(sequencer.tick()).rejects.toThrow('it went back from 6 to 3 entries');
  await expect(sequencer.tick()).rejects.toThrow('it went back from 6 to 3 entries');
  expect(sequencer.fault).toContain('it went back from 6 to 3');
  expect(await accusations()).toEqual([{ what: 'it went back from 6 to 3 entries', ...sizes }]);
  expect((await readLogHead(database))?.size).toBe(3);
  // A process that dies and starts again forgets nothing.
  await expect((await start()).sequencer.tick()).rejects.toThrow('went back');
  // The true store is put back in its place, and all is well.
  await putBack('true');
  await commit(1);
  expect(await sequencer.tick()).toBe(1);
  expect(sequencer.fault).toBeNull();
});

test('createSequencer: a store that is put back while it runs is not signed on, though nothing waits', async () => {
  const { sequencer } = await grown();
  await putBack('earlier');
  expect((await readLogHead(database))?.waiting).toBe(false);
  await expect(sequencer.tick()).rejects.toThrow('it went back from 6 to 3 entries');
  expect(await accusations()).toEqual([{ what: 'it went back from 6 to 3 entries', ...sizes }]);
});

test('createSequencer: a log that was put back and grown past what was seen is another, and is not signed on', async () => {
  const { sequencer } = await grown();
  await putBack('earlier');
  runtime.jump(60_000);
  const ignorant = await openTestLog(database, runtime, { signer, holder: 'ignorant' });
  await commit(300);
  await ignorant.sequence();
  expect((await readLogHead(database))?.size).toBe(303);
  runtime.jump(60_000);
  await commit(1);
  await expect(sequencer.tick()).rejects.toThrow('its first 6 entries are not those that it had');
  expect(await accusations()).toMatchObject([
    { what: expect.stringContaining('its first 6 entries'), seen: { size: 6 }, found: { size: 303 } },
  ]);
});

test('createSequencer: what other replicas grew is followed, and remembered by all', async () => {
  const { sequencer } = await grown();
  const other = await openTestLog(database, runtime, { signer, holder: 'two' });
  runtime.jump(60_000);
  await commit(600);
  await other.sequence();
  expect(await sequencer.tick()).toBe(0);
  await sequencer.drain();
  expect(openLogMemory(folder, ORIGIN, runtime).seen?.size).toBe(606);
  expect(sequencer.fault).toBeNull();
  expect(await accusations()).toEqual([]);
});

/** Whoever can write in the store, and has a key of his own: grows the log from whatever it is. */
async function forge(count: number): Promise<void> {
  const memory = passingMemory();
  const head = await readLogHead(database);
  if (head !== null) memory.see(head);
  const forger = await openTestLog(database, runtime, { signer: newSigner(), holder: 'forger', memory });
  runtime.jump(60_000);
  await commit(count);
  await forger.sequence();
  runtime.jump(60_000);
}

test('createSequencer: a log that somebody else signed is not signed on by a broker that never saw the true one', async () => {
  await forge(5);
  await commit(1);
  const { sequencer } = await start();
  for (let look = 0; look < 3; look++)
    await expect(sequencer.tick()).rejects.toThrow('none of the keys of this broker signed its checkpoint');
  expect(openLogMemory(folder, ORIGIN, runtime).seen).toBeNull();
  expect((await readLogHead(database))?.size).toBe(5);
});

test('createSequencer: what somebody else signed on top of the true log is not signed on', async () => {
  const { sequencer } = await grown();
  await forge(2);
  await commit(1);
  for (let look = 0; look < 3; look++)
    await expect(sequencer.tick()).rejects.toThrow('none of the keys of this broker signed its checkpoint');
  expect((await readLogHead(database))?.size).toBe(8);
});

test('createSequencer: a replica whose keys are others leaves the log to those that have its key', async () => {
  const { sequencer } = await grown();
  const stranger = await openTestLog(database, runtime, { signer: newSigner(), holder: 'stranger' });
  runtime.jump(60_000);
  await commit(1);
  await expect(stranger.sequencer.tick()).rejects.toThrow('none of the keys');
  expect(await sequencer.tick()).toBe(1);
});

test('createSequencer: a broker with another key goes on from the very tree that it saw last', async () => {
  const { sequencer } = await grown();
  await sequencer.drain();
  const memory = openLogMemory(folder, ORIGIN, runtime);
  const changed = await openTestLog(database, runtime, { signer: newSigner(), memory });
  await commit(1);
  expect(await changed.sequencer.tick()).toBe(1);
  expect(await changed.sequencer.tick()).toBe(0);
});

test('createSequencer: what was seen is on disk within a second, also when nothing comes after it', async () => {
  const { sequencer } = await grown();
  runtime.jump(1_000);
  expect(await sequencer.tick()).toBe(0);
  expect(openLogMemory(folder, ORIGIN, runtime).seen?.size).toBe(6);
});

test('openLogMemory: what cannot be read is refused, and what is of another log is not used', () => {
  const path = join(folder, LOG_MEMORY_FILE);
  const memory = openLogMemory(folder, ORIGIN, runtime);
  expect(memory.seen).toBeNull();
  memory.see({ size: 7, root: Buffer.alloc(32, 1) });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(openLogMemory(folder, ORIGIN, runtime).seen?.size).toBe(7);
  expect(openLogMemory(folder, 'other/audit/log', runtime).seen).toBeNull();
  // At most once a second while it grows, and at the end.
  memory.see({ size: 8, root: Buffer.alloc(32, 1) });
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ size: 7 });
  memory.keep();
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ size: 8 });
  for (const text of ['', '{}', '{"origin":"x"', `{"origin":"${ORIGIN}","size":-1,"root":"AAAA"}`]) {
    writeFileSync(path, text);
    expect(() => openLogMemory(folder, ORIGIN, runtime)).toThrow('Cannot read what is remembered');
  }
});

test('openLogMemory: says which setting leads to where it cannot be kept', () => {
  const at = join(folder, 'state');
  const memory = openLogMemory(at, ORIGIN, runtime);
  // A file, where the folder would be.
  writeFileSync(at, '');
  expect(() => memory.see({ size: 1, root: new Uint8Array(32) })).toThrow(
    /Cannot remember the audit log in ".*": writing fails with (?:ENOTDIR|EEXIST); let the broker write in broker\.state_directory/,
  );
});
