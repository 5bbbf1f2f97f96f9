import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLogVerbs } from '../../src/broker/log.ts';
import type { Database } from '../../src/store/database.ts';
import { callerOf, value } from '../support/broker.ts';
import { anyStore } from '../support/stores.ts';
import { logWorld } from './world.ts';

/** Where Debian puts the sources of Go packages, and the one that verifies Go's own log. */
const GO_PATH = '/usr/share/gocode';
const TLOG = join(GO_PATH, 'src/golang.org/x/mod/sumdb/tlog');

const store = await anyStore();
const folder = mkdtempSync(join(tmpdir(), 'hallpass-second-'));
const program = join(folder, 'verify');
let missing: string | null = null;
let database: Database;
let world: Awaited<ReturnType<typeof logWorld>>;
let server: Server;
let url: string;

beforeAll(async () => {
  missing = await build();
  database = await store.open();
  world = await logWorld(database);
  server = createServer(async (request, response) => {
    const answer = await world.fetchLog(`http://log.test${request.url}`);
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/audit/log`;
}, 300_000);
afterAll(async () => {
  server.close();
  rmSync(folder, { recursive: true });
  await database.close();
  await store.stop();
});

/** Builds the program from what is on this machine; or says what is not. */
async function build(): Promise<string | null> {
  if (!existsSync(TLOG)) return 'needs golang.org/x/mod (Debian golang-golang-x-mod-dev)';
  const env = {
    ...process.env,
    GO111MODULE: 'off',
    GOPATH: GO_PATH,
    GOCACHE: join(folder, 'cache'),
    GOFLAGS: '',
    CGO_ENABLED: '0',
  };
  const source = join(import.meta.dirname, 'second/verify.go');
  try {
    await promisify(execFile)('go', ['build', '-o', program, source], { env });
    return null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'needs Go (Debian golang-go)';
    throw error;
  }
}

interface Verified {
  readonly size: number;
  readonly oldSize: number;
  readonly index: number;
  readonly entry: string;
}

/** What the second implementation says of the live log; rejects with its words when it finds fault. */
function verify(
  input: { readonly checkpoint: string; readonly proof: string },
  key = keyText(),
): Promise<Verified> {
  const child = spawn(program, [url, key], { stdio: ['pipe', 'pipe', 'pipe'] });
  const chunks = { out: '', err: '' };
  child.stdout.on('data', (chunk) => (chunks.out += chunk));
  child.stderr.on('data', (chunk) => (chunks.err += chunk));
  child.stdin.end(JSON.stringify(input));
  return new Promise((resolve, reject) => {
    child.on('close', (code) =>
      code === 0 ? resolve(JSON.parse(chunks.out)) : reject(new Error(chunks.err)),
    );
  });
}

function keyText(): string {
  return world.signer.verifier.text;
}

async function checkpoint(): Promise<string> {
  return (await world.fetchLog('http://log.test/audit/log/checkpoint')).text();
}

async function receiptOf(lease: string) {
  const log = createLogVerbs(world.hallpass.broker, true);
  const [receipt] = value(await log.receipts(callerOf({}, ['auditor']), lease));
  return receipt!;
}

test("a second implementation (Go's tlog and note) verifies the live log, its growth, and a receipt", async (ctx) => {
  if (missing !== null) return ctx.skip(missing);
  // Sizes at which tiles are empty, partial and full, on more than one level.
  for (const tasks of [1, 41, 60]) {
    await world.live(tasks);
    await world.sequence();
    const earlier = await checkpoint();
    await world.live(3);
    await world.sequence();
    const size = Number((await checkpoint()).split('\n')[1]);
    const { proof, index } = await receiptOf(world.leases[Math.floor(world.leases.length / 2)]!);
    const verified = await verify({ checkpoint: earlier, proof });
    expect(verified).toMatchObject({ size, oldSize: Number(earlier.split('\n')[1]), index });
    expect(JSON.parse(verified.entry)).toMatchObject({ kind: 'lease.intended' });
  }
  expect(Number((await checkpoint()).split('\n')[1])).toBeGreaterThan(512);
}, 120_000);

test('a second implementation finds a log that is another, a receipt that is bent, and a tile that was changed', async (ctx) => {
  if (missing !== null) return ctx.skip(missing);
  const earlier = await checkpoint();
  const { proof } = await receiptOf(world.leases[0]!);
  const whole = { checkpoint: earlier, proof };
  await verify(whole);
  const other = await store.open();
  const strange = await logWorld(other);
  await strange.live(1);
  await strange.sequence();
  await expect(verify(whole, strange.signer.verifier.text)).rejects.toThrow('earlier checkpoint');
  await other.close();
  const bent = proof.replace(/^extra (.)/m, (_, first) => `extra ${first === 'e' ? 'f' : 'e'}`);
  await expect(verify({ ...whole, proof: bent })).rejects.toThrow('receipt');
  await world.tamper(
    'update log_tile set hashes = set_byte(hashes, 5, 255 - get_byte(hashes, 5)) where level = 0 and n = 0',
  );
  await expect(verify(whole)).rejects.toThrow('tiles');
}, 120_000);
