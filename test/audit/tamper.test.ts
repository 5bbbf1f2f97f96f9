import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { checkpointText } from '../../src/audit/checkpoint.ts';
import { signNote } from '../../src/audit/note.ts';
import type { Seen, Verified } from '../../src/audit/verify.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { liveSource } from '../../src/cli/log/sources.ts';
import { createLogReader } from '../../src/client/log.ts';
import type { Database } from '../../src/store/database.ts';
import { logEntries, readLogHead } from '../../src/store/log.ts';
import { newSigner, ORIGIN, openTestLog } from '../support/log.ts';
import { slowRoot, slowTiles } from '../support/merkle.ts';
import { anyStore } from '../support/stores.ts';
import { logWorld } from './world.ts';

const store = await anyStore();
let database: Database;
let world: Awaited<ReturnType<typeof logWorld>>;

/** Events of the log before anybody touches it: more than two tiles. */
const TASKS = 50;
const SIZE = TASKS * 6;

beforeEach(async () => {
  database = await store.open();
  world = await logWorld(database);
  await world.live(TASKS);
  expect(await world.sequence()).toBe(SIZE);
});
afterEach(() => database.close());
afterAll(() => store.stop());

function verify(seen: readonly Seen[] = [], trusted = [world.signer.verifier]): Promise<Verified> {
  const reader = createLogReader({ url: 'http://127.0.0.1:1', token: null, fetch: world.fetchLog });
  return verifyLog(liveSource(reader, null), { trusted, seen });
}

async function treeNow(): Promise<Seen> {
  const head = (await readLogHead(database))!;
  return { size: head.size, root: head.root };
}

const indexes = ({ findings }: Verified) => findings.flatMap(({ index }) => index ?? []);
const words = ({ findings }: Verified) => findings.map(({ what }) => what).join('\n');
const at = (index: number) => `(select seq from log_leaf where index = ${index})`;

test('verifyLog: an untouched log is good, and goes on from what it was', async () => {
  const seen = [await treeNow()];
  await world.live(10);
  await world.sequence();
  seen.push(await treeNow());
  const verified = await verify(seen);
  expect(verified.findings).toEqual([]);
  expect(verified).toMatchObject({ unread: 0, checkpoint: { size: SIZE + 60, origin: ORIGIN } });
});

const ROWS: readonly (readonly [string, string, number])[] = [
  [
    'a word of a row is changed',
    `update audit_event set body = replace(body, 'acme', 'evil') where seq = ${at(0)}`,
    0,
  ],
  ['a space is added to a row', `update audit_event set body = body || ' ' where seq = ${at(260)}`, 260],
  ['a row is emptied', `update audit_event set body = '' where seq = ${at(261)}`, 261],
  ['a row is deleted', `delete from audit_event where seq = ${at(255)}`, 255],
  ['the last row is deleted', `delete from audit_event where seq = ${at(SIZE - 1)}`, SIZE - 1],
  ['the row of an index is deleted', 'delete from log_leaf where index = 256', 256],
  ['a row is put in the place of another', `update log_leaf set seq = ${at(9)} where index = 8`, 8],
  [
    'two rows change places',
    `drop index log_leaf_seq; update log_leaf l set seq = (select seq from log_leaf where index = 551 - l.index) where index in (270, 281)`,
    270,
  ],
  [
    'all from a point on are deleted',
    'delete from audit_event where seq in (select seq from log_leaf where index >= 290)',
    290,
  ],
];

test.each(ROWS)('verifyLog: finds that %s, and names the entry', async (_, sql, index) => {
  // A row that stands twice needs room for it.
  await world.tamper(`drop index if exists log_leaf_seq; ${sql.replace('drop index log_leaf_seq; ', '')}`);
  const verified = await verify();
  expect(indexes(verified)[0]).toBe(index);
  expect(words(verified)).not.toContain('that was signed');
});

test.each([
  ['one hash of a tile of leaves', 0, 1, 'tile/0/001', 256],
  ['one hash of a tile above', 1, 0, 'tile/1/000', 0],
] as const)('verifyLog: finds that %s is changed', async (_, level, n, name, from) => {
  await world.tamper(
    `update log_tile set hashes = set_byte(hashes, 7, (get_byte(hashes, 7) + 1) % 256) where level = ${level} and n = ${n}`,
  );
  const verified = await verify();
  if (level === 0) {
    expect(indexes(verified)).toEqual([from]);
    expect(words(verified)).toContain('it is the hashes that were changed');
  } else expect(words(verified)).toContain(`${name}.p/1 does not fit`);
});

test('verifyLog: finds a tile that is gone, or is too short', async () => {
  await world.tamper('delete from log_tile where level = 0 and n = 1');
  // The entries are still there, and their tree is the one that was signed.
  const gone = await verify();
  expect(words(gone)).toBe('');
  await world.tamper('update log_tile set hashes = substr(hashes, 1, 64) where level = 0 and n = 0');
  expect(words(await verify())).toContain('tile/0/000 has 2 hashes, not 256');
});

test('verifyLog: finds a row that is changed together with its hashes up to the root', async () => {
  const seen = [await treeNow()];
  await world.tamper(`update audit_event set body = replace(body, 'acme', 'evil') where seq = ${at(10)}`);
  const entries = await logEntries(database, 0, SIZE);
  for (const [key, tile] of slowTiles(entries)) {
    const [level, n] = key.split('/');
    await world.tamper(
      `update log_tile set hashes = decode('${tile.toString('hex')}', 'hex') where level = ${level} and n = ${n}`,
    );
  }
  const changed = await verify(seen);
  expect(words(changed)).toContain(`The tree of ${SIZE} entries is not the one of ${SIZE} that was signed`);
  expect(words(changed)).toContain('something from entry 0 on was changed');

  // With a key of their own they sign it as well: nobody trusts that.
  const root = slowRoot(entries);
  const forger = newSigner();
  const forged = signNote(checkpointText({ origin: ORIGIN, size: SIZE, root }), [forger]);
  await database.query({ name: 'forge', text: 'update log_head set checkpoint = $1' }, [forged]);
  expect(words(await verify())).toContain('no key that is trusted for this log signed it');
  // Even with the log's own key, whoever looked before has seen the other tree.
  const stolen = signNote(checkpointText({ origin: ORIGIN, size: SIZE, root }), [world.signer]);
  await database.query({ name: 'forge', text: 'update log_head set checkpoint = $1' }, [stolen]);
  expect((await verify()).findings).toEqual([]);
  expect(words(await verify(seen))).toContain('The log was forked');
});

test('verifyLog: narrows down where history was rewritten by the trees that were seen', async () => {
  const first = await treeNow();
  await world.live(20);
  await world.sequence();
  const second = await treeNow();
  await world.live(20);
  await world.sequence();
  await world.tamper(`update audit_event set body = body || ' ' where seq = ${at(SIZE + 5)}`);
  const entries = await logEntries(database, 0, (await treeNow()).size);
  for (const [key, tile] of slowTiles(entries)) {
    const [level, n] = key.split('/');
    await world.tamper(
      `update log_tile set hashes = decode('${tile.toString('hex')}', 'hex') where level = ${level} and n = ${n}`,
    );
  }
  const text = checkpointText({ origin: ORIGIN, size: entries.length, root: slowRoot(entries) });
  await database.query({ name: 'forge', text: 'update log_head set checkpoint = $1' }, [
    signNote(text, [world.signer]),
  ]);
  expect(words(await verify([first, second]))).toBe(
    `The first ${second.size} entries are not those that were seen before: something from entry ${SIZE} on was changed`,
  );
});

test('verifyLog: finds a checkpoint that is changed in any way', async () => {
  const { checkpoint } = (await readLogHead(database))!;
  const lines = checkpoint!.split('\n');
  const bent = [
    checkpoint!.replace(ORIGIN, 'other.test/audit/log'),
    checkpoint!.replace(`\n${SIZE}\n`, `\n${SIZE - 1}\n`),
    checkpoint!.replace(lines[2]!, slowRoot([]).toString('base64')),
    checkpoint!.replace(/(.{6})\n$/, (all) => all.replace(/[A-Za-z]/, (c) => (c === 'a' ? 'b' : 'a'))),
    checkpoint!.slice(0, -10),
    `${lines.slice(0, 3).join('\n')}\n`,
  ];
  for (const note of bent) {
    await database.query({ name: 'bend', text: 'update log_head set checkpoint = $1' }, [note]);
    expect((await verify()).findings.length, note).toBeGreaterThan(0);
  }
});

test('verifyLog: finds that the whole store was put back to a backup, when it was looked at since', async () => {
  const tables = ['audit_event', 'audit_pending', 'log_head', 'log_leaf', 'log_tile'];
  for (const table of tables) await world.rows(`create table backup_${table} as select * from ${table}`);
  await world.live(5);
  await world.sequence();
  const seen = [await treeNow()];
  await world.tamper(
    tables
      .map(
        (table) =>
          `delete from ${table}; insert into ${table} overriding system value select * from backup_${table}`,
      )
      .join(';\n'),
  );
  expect((await verify()).findings).toEqual([]);
  expect(words(await verify(seen))).toContain(`The log went back: it had ${SIZE + 30} entries`);
  // It grows past where it was: the other tree is found all the same.
  await world.live(10);
  await expect(world.sequence()).rejects.toThrow('went back');
  const restarted = await openTestLog(database, world.runtime, { signer: world.signer });
  await restarted.sequence();
  expect(words(await verify(seen))).toContain(
    `The first ${SIZE + 30} entries are not those that were seen before`,
  );
});

test('verifyLog: finds a life that cannot be, though every hash is right', async () => {
  const insert = (lease: string, kind: string, data: string) => `
    with e as (insert into audit_event (id, at, kind, lease_id, body) values ('x', '2026-03-01', '${kind}', '${lease}',
      '{"v":1,"id":"x","at":"2026-03-01T00:00:00.000Z","kind":"${kind}","actor":{"kind":"system"},"about":{"lease":"${lease}"},"data":${data}}')
      returning seq, at)
    insert into audit_pending (at, seqs) select at, array[seq] from e`;
  const lease = world.leases[0]!;
  await world.rows(insert(lease, 'lease.issued', '{"expiresAt":"","sealed":false}'));
  await world.rows(
    insert(lease, 'lease.ended', '{"outcome":"revoked","reason":"completed","evidence":null}'),
  );
  await world.rows(
    `insert into audit_pending (at, seqs) select at, array[seq] from audit_event where kind = 'task.opened' limit 0`,
  );
  await world.sequence();
  const verified = await verify();
  expect(indexes(verified)).toEqual([SIZE, SIZE + 1]);
  expect(words(verified)).toContain(`lease ${lease} had not begun, or had ended`);
});
