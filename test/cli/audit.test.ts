import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import type { Database } from '../../src/store/database.ts';
import { logEntries } from '../../src/store/log.ts';
import { logWorld } from '../audit/world.ts';
import { noted } from '../support/log.ts';
import { anyStore } from '../support/stores.ts';
import { fakeIo } from './support/io.ts';

const store = await anyStore();
let database: Database;
let world: Awaited<ReturnType<typeof logWorld>>;
let folder: string;

beforeEach(async () => {
  database = await store.open();
  world = await logWorld(database, { isPublic: false });
  folder = mkdtempSync(join(tmpdir(), 'hallpass-audit-'));
  await world.live(2);
  await world.sequence();
  await database.query({ name: 'key', text: 'insert into log_key values ($1, now())' }, [
    world.signer.verifier.text,
  ]);
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await database.close();
});
afterAll(() => store.stop());

async function hallpass(args: readonly string[], env: Record<string, string> = {}) {
  const terminal = fakeIo(
    { HALLPASS_URL: 'http://127.0.0.1:1', HALLPASS_TOKEN: 'ada', XDG_STATE_HOME: folder, ...env },
    { fetch: world.fetchLog, sleep: async () => {} },
  );
  const code = await runProgram(args, {
    io: terminal.io,
    version: '1',
    serve: async () => 0,
    check: async () => 0,
  });
  return { code, ...terminal.written };
}

test('audit verify: remembers what it saw, and names the bad entry when history changes', async () => {
  const first = await hallpass(['audit', 'verify']);
  expect(first).toMatchObject({
    code: 0,
    err: expect.stringContaining('Verified: 12 entries of broker.test/audit/log'),
  });
  expect(first.err).toContain(world.signer.verifier.text);
  await world.live(1);
  await world.sequence();
  const second = await hallpass(['audit', 'verify']);
  expect(second.err).toContain('it goes on from the 1 tree seen before');
  expect(second.err).not.toContain('for the first time');
  await world.tamper('delete from audit_event where seq = (select seq from log_leaf where index = 7)');
  const third = await hallpass(['audit', 'verify']);
  expect(third).toMatchObject({
    code: 1,
    err: expect.stringContaining('NOT VERIFIED: the first bad entry is 7'),
  });
  const asJson = await hallpass(['audit', 'verify', '--json']);
  expect(JSON.parse(asJson.out)).toMatchObject({ verified: false, findings: [{ index: 7 }] });
});

test('audit verify: entries are for auditors, and reading them is logged; a checkpoint is for all', async () => {
  expect(await hallpass(['audit', 'verify'], { HALLPASS_TOKEN: 'eve' })).toMatchObject({ code: 4 });
  expect(await hallpass(['audit', 'verify'], { HALLPASS_TOKEN: '' })).toMatchObject({ code: 3 });
  const checkpoint = await world.app.request('/audit/log/checkpoint');
  expect(checkpoint.status).toBe(200);
  expect(checkpoint.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  const before = (await world.hallpass.events()).length;
  await hallpass(['audit', 'verify']);
  const after = (await world.hallpass.events()).slice(before);
  expect(after).toMatchObject([
    { kind: 'disclosed', actor: { subject: 'ada' }, data: { what: 'log', filter: { from: 0 } } },
  ]);
});

test('audit log: serves tiles that are there, as wide as asked, and nothing else', async () => {
  const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  const wide = await world.app.request('/audit/log/tile/0/000.p/12', as('ada'));
  const narrow = await world.app.request('/audit/log/tile/0/000.p/5', as('ada'));
  const wideBytes = Buffer.from(await wide.arrayBuffer());
  expect(wideBytes.length).toBe(12 * 32);
  expect(Buffer.from(await narrow.arrayBuffer()).equals(wideBytes.subarray(0, 160))).toBe(true);
  expect(wide.headers.get('cache-control')).toBe('private, max-age=31536000');
  for (const path of [
    '0/000',
    '0/000.p/13',
    '0/001.p/1',
    '1/000.p/1',
    'entries/000',
    'entries/../../../v1/tasks',
    '0/0',
  ])
    expect((await world.app.request(`/audit/log/tile/${path}`, as('ada'))).status, path).toBe(404);
  const zipped = await world.app.request('/audit/log/tile/entries/000.p/2', {
    headers: { ...as('ada').headers, 'accept-encoding': 'gzip' },
  });
  expect(zipped.headers.get('content-encoding')).toBe('gzip');
});

test('audit copy: a copy verifies by itself, and shows what was changed in it', async () => {
  const copy = join(folder, 'copy');
  expect(await hallpass(['audit', 'copy', copy])).toMatchObject({ code: 0 });
  expect(readdirSync(copy).sort()).toEqual(['checkpoint', 'keys', 'tile']);
  const key = ['--key', join(copy, 'keys')];
  expect(await hallpass(['audit', 'verify', copy, ...key])).toMatchObject({ code: 0 });
  const bundle = join(copy, 'tile/entries/000.p/12');
  const content = readFileSync(bundle);
  content[content.length - 3]! ^= 1;
  writeFileSync(bundle, content);
  expect(await hallpass(['audit', 'verify', copy, ...key])).toMatchObject({
    code: 1,
    err: expect.stringContaining('the first bad entry is 11'),
  });
  expect(await hallpass(['audit', 'verify', join(folder, 'none')])).toMatchObject({ code: 2 });
});

test('audit verify: an export verifies against the checkpoint, and an omitted or changed line is found', async () => {
  const path = join(folder, 'export.jsonl');
  const entries = (await logEntries(database, 0, 12)).map((entry) =>
    JSON.stringify({ raw_data: String(entry) }),
  );
  writeFileSync(path, `${entries.join('\n')}\n`);
  expect(await hallpass(['audit', 'verify', path])).toMatchObject({ code: 0 });
  writeFileSync(path, `${entries.toSpliced(4, 1).join('\n')}\n`);
  expect(await hallpass(['audit', 'verify', path])).toMatchObject({
    code: 1,
    err: expect.stringContaining('NOT VERIFIED'),
  });
  writeFileSync(path, `${entries.toSpliced(4, 1, '{"raw_data":"{}"}').join('\n')}\n`);
  expect(await hallpass(['audit', 'verify', path])).toMatchObject({
    code: 1,
    err: expect.stringContaining('entry 4'),
  });
});

test('audit prove: the receipt of a lease verifies offline, and no other does', async () => {
  const [lease = ''] = world.leases;
  const proof = await hallpass(['audit', 'prove', lease]);
  expect(proof.code).toBe(0);
  const path = join(folder, 'lease.tlog-proof');
  writeFileSync(path, proof.out);
  const key = ['--key', world.signer.verifier.text];
  const offline = await hallpass(['audit', 'verify', path, ...key], { HALLPASS_URL: '' });
  expect(offline).toMatchObject({ code: 0, err: expect.stringContaining('Verified: entry') });
  expect(JSON.parse(offline.out)).toMatchObject({ kind: 'lease.issued', about: { lease } });
  const extra = /^extra (.+)$/m.exec(proof.out)![1]!;
  const bent = Buffer.from(Buffer.from(extra, 'base64').toString().replace('lease.issued', 'lease.forged'));
  writeFileSync(path, proof.out.replace(extra, bent.toString('base64')));
  expect(await hallpass(['audit', 'verify', path, ...key])).toMatchObject({ code: 1 });
  const all = await hallpass(['audit', 'prove', lease, '--json']);
  expect(JSON.parse(all.out).receipts.map(({ kind }: { kind: string }) => kind)).toEqual([
    'lease.intended',
    'lease.issued',
    'lease.ending',
    'lease.ended',
  ]);
  expect(await hallpass(['audit', 'prove', lease, '--kind', 'lease.renewed'])).toMatchObject({ code: 5 });
});

test('audit: tells the story of a task in sentences, safe for a terminal', async () => {
  const [event] = await world.hallpass.events();
  const { code, out } = await hallpass(['audit', '--task', event!.about.task!]);
  expect(code).toBe(0);
  expect(out).toContain('2026-03-01');
  expect(out).toMatch(/12:00:00 {5}\+0\.0s {2}repo:acme\/etl \(ci\) opened task "nightly" by grant report/);
  expect(out).toMatch(/lease \w+ was issued, until/);
  expect(out).toMatch(/lease \w+ is revoked: /);
  await world.hallpass.broker.committer.commit({
    events: [{ ...noted('\u001b[31mred'), about: { task: event!.about.task! } }],
  });
  expect((await hallpass(['audit', '--task', event!.about.task!])).out).toContain('\\u{1b}[31mred');
  const ended = await hallpass(['audit', '--outcome', 'revoked', '--json']);
  expect(JSON.parse(ended.out).events).toHaveLength(2);
  expect(JSON.parse((await hallpass(['audit', '--outcome', 'denied', '--json'])).out).events).toEqual([]);
});
