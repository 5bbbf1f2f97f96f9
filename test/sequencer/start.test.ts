import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { introduce } from '../../src/audit/introduction.ts';
import { type Note, parseNote, parseVerifierKey, signerKey, signNote } from '../../src/audit/note.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { LOG_KEY_FILE, readLogKeys } from '../../src/sequencer/log-key.ts';
import { startSequencer } from '../../src/sequencer/start.ts';
import { createCommitter } from '../../src/store/commit.ts';
import type { Database } from '../../src/store/database.ts';
import { listEvents } from '../../src/store/events.ts';
import { logKeys, openLog, readLogHead } from '../../src/store/log.ts';
import { faulty, silent, storedLog } from '../support/log.ts';
import { createTestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let database: Database;
let folder: string;

beforeEach(async () => {
  database = await store.open();
  folder = mkdtempSync(join(tmpdir(), 'hallpass-log-key-'));
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await database.close();
});
afterAll(() => store.stop());

const pem = () =>
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

function start(logKey: string | null, stateDirectory = folder, on = database) {
  const runtime = createTestRuntime();
  const committer = createCommitter(on, runtime);
  return startSequencer(
    { database: on, runtime, log: silent, committer },
    { url: 'https://broker.example/', logKey, stateDirectory },
  );
}

async function verify(keys: readonly string[], seen: { size: number; root: Uint8Array }[] = []) {
  return verifyLog(storedLog(database), { trusted: keys.map((key) => parseVerifierKey(key)!), seen });
}

test('startSequencer: the first start makes a key that its owner alone can read, and the store has nothing of it', async () => {
  const sequencer = await start(null);
  await sequencer!.drain();
  const path = join(folder, LOG_KEY_FILE);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const [key = ''] = await logKeys(database);
  expect(parseVerifierKey(key)?.name).toBe('broker.example/audit/log');
  expect((await verify([key])).findings).toEqual([]);
  const secret = readFileSync(path, 'utf8').split('\n')[1]!;
  for (const table of ['log_head', 'log_key', 'audit_event', 'configuration']) {
    const text = `select coalesce(string_agg(t::text, ' '), '') as all from ${table} t`;
    const [row] = await database.query<{ all: string }>({ name: `all_${table}`, text }, []);
    expect(row!.all).not.toContain(secret);
  }
  // The same key again at the next start, and no word about it.
  const size = (await readLogHead(database))!.size;
  await (await start(null))!.drain();
  expect((await readLogHead(database))!.size).toBe(size);
});

test('startSequencer: a replica without the key leaves the log to those that have it', async () => {
  await start(null);
  const elsewhere = mkdtempSync(join(tmpdir(), 'hallpass-log-key-'));
  expect(await start(null, elsewhere)).toBeNull();
  expect(await logKeys(database)).toHaveLength(1);
  rmSync(elsewhere, { recursive: true });
});

test('startSequencer: keys change while both sign, and whoever trusted the old one learns of the new one', async () => {
  const [old, next] = [pem(), pem()];
  await (await start(old))!.drain();
  const [oldKey = ''] = await logKeys(database);
  await (await start(`${next}${old}`))!.drain();
  const both = await verify([oldKey]);
  expect(both.findings).toEqual([]);
  expect(both.announced).toHaveLength(2);
  const head = (await readLogHead(database))!;
  await (await start(next))!.drain();
  await createCommitter(database, createTestRuntime()).commit({
    events: [{ kind: 'disclosed', actor: { kind: 'system' }, about: {}, data: { what: 'x', filter: {} } }],
  });
  await (await start(next))!.drain();
  // The new key alone signs by now. Whoever looked while both did goes on; a stranger with the old key does not.
  expect((await verify([oldKey], [{ size: head.size, root: head.root }])).findings).toEqual([]);
  expect((await verify([oldKey])).findings).toHaveLength(1);
});

test('verifyLog: a key that somebody put into the log is not believed, whoever he says vouches for it', async () => {
  const [old, next, evil] = [pem(), pem(), pem()];
  await (await start(old))!.drain();
  const [oldKey = ''] = await logKeys(database);
  await (await start(`${next}${old}`))!.drain();
  const nextKey = (await logKeys(database)).find((key) => key !== oldKey);
  const added = await listEvents(database, { kind: 'log.key-added' }, null, 10);
  const { introduction } = added.at(-1)!.event.data as { introduction: string };
  const signer = signerKey('broker.example/audit/log', createPrivateKey(evil));
  const key = signer.verifier.text;
  // What whoever can write events can write: nothing, the word for another key, his own word.
  for (const said of [undefined, introduction, introduce(signer.verifier, [signer])])
    await createCommitter(database, createTestRuntime()).commit({
      events: [
        {
          kind: 'log.key-added',
          actor: { kind: 'system' },
          about: {},
          data: { key, ...(said === undefined ? {} : { introduction: said }) },
        },
      ],
    });
  await (await start(`${next}${old}`))!.drain();
  const { findings, announced } = await verify([oldKey]);
  expect(findings).toEqual([]);
  expect(announced.map(({ text }) => text)).toEqual([oldKey, nextKey]);
  // And nothing that he signs is believed for it, also by those who saw the log with his key in it.
  const head = (await readLogHead(database))!;
  const { text } = (parseNote(head.checkpoint ?? '') as { value: Note }).value;
  await database.query({ name: 'forge', text: 'update log_head set checkpoint = $1' }, [
    signNote(text, [signer]),
  ]);
  expect((await verify([oldKey], [{ size: head.size, root: head.root }])).findings).toMatchObject([
    { what: expect.stringContaining('The checkpoint is not signed as it must be') },
  ]);
});

test('startSequencer: killed before or after any of its statements, it says of a key once that it was added', async () => {
  const [old, next] = [pem(), pem()];
  await (await start(old))!.drain();
  for (let left = 0; ; left++) {
    const logKey = `${next}${pem()}${old}`;
    let steps = left;
    const dying = faulty(database, () => {
      if (steps-- <= 0) throw new Error('killed');
    });
    const died = await start(logKey, folder, dying).then(
      () => false,
      () => true,
    );
    await (await start(logKey))!.drain();
    const said = await listEvents(database, { kind: 'log.key-added' }, null, 100);
    expect(said.map(({ event }) => event.data)).toHaveLength((await logKeys(database)).length);
    if (!died) break;
  }
});

test('startSequencer: a log that bears another name than the one that is remembered is told of', async () => {
  const key = pem();
  await (await start(key))!.drain();
  const { size } = (await readLogHead(database))!;
  await database.close();
  database = await store.open();
  await openLog(database, 'broker.evil/audit/log');
  for (let time = 0; time < 2; time++) await (await start(key))!.drain();
  const told = await listEvents(database, { kind: 'log.went-back' }, null, 10);
  expect(told.map(({ event }) => event.data)).toMatchObject([
    {
      what: `this broker remembers ${size} entries of the log "broker.example/audit/log", and the store has the log "broker.evil/audit/log"`,
    },
  ]);
});

test('readLogKeys: refuses what is no Ed25519 key, and does not repeat it', () => {
  const rsa = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();
  for (const text of ['', 'hunter2', rsa, pem().replace('M', '!')])
    expect(() => readLogKeys(text, folder)).toThrow(/^Cannot use the key of the audit log: write Ed25519/);
});

test('readLogKeys: says what to write where a key cannot be kept', () => {
  expect(() => readLogKeys(null, '/dev/null/state')).toThrow(
    /^Cannot make a key of the audit log in "\/dev\/null\/state\/audit-log\.key": writing fails with ENOTDIR; write audit\.log_key_file, or/,
  );
});
