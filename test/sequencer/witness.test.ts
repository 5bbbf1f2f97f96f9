import { generateKeyPairSync } from 'node:crypto';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { parseCheckpoint } from '../../src/audit/checkpoint.ts';
import { cosign, signerKey, verifiedBy, verifierKey } from '../../src/audit/note.ts';
import { EMPTY_ROOT, type Hash, verifyConsistency } from '../../src/audit/tree.ts';
import { createWitnessing } from '../../src/sequencer/witness.ts';
import { type Committer, createCommitter } from '../../src/store/commit.ts';
import type { Database } from '../../src/store/database.ts';
import { readLogHead } from '../../src/store/log.ts';
import { noted, openTestLog, silent } from '../support/log.ts';
import { createTestRuntime } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
let database: Database;

beforeEach(async () => {
  database = await store.open();
});
afterEach(() => database.close());
afterAll(() => store.stop());

/** A witness after https://c2sp.org/tlog-witness, in memory. */
function testWitness(name: string) {
  const { privateKey } = generateKeyPairSync('ed25519');
  let seen: { size: number; root: Hash } = { size: 0, root: EMPTY_ROOT };
  const statuses: number[] = [];
  async function answer(request: Request): Promise<Response> {
    const body = await request.text();
    const [head = '', ...rest] = body.split('\n\n');
    const [first = '', ...proof] = head.split('\n');
    const old = Number(/^old (\d+)$/.exec(first)?.[1]);
    const checkpoint = parseCheckpoint(rest.join('\n\n'));
    if (!checkpoint.ok) return new Response(checkpoint.error, { status: 400 });
    if (old !== seen.size) return new Response(`${seen.size}\n`, { status: 409 });
    const { size, root } = checkpoint.value;
    const hashes = proof.map((line) => Buffer.from(line, 'base64'));
    const good = old === 0 ? proof.length === 0 : verifyConsistency(old, seen.root, size, root, hashes);
    if (!good) return new Response('inconsistent', { status: 422 });
    seen = { size, root };
    return new Response(cosign(checkpoint.value.note.text, name, privateKey, 1_700_000_000));
  }
  return {
    key: verifierKey(name, signerKey('x', privateKey).verifier.publicKey, 'cosignature'),
    url: `https://${name}`,
    statuses,
    async serve(request: Request): Promise<Response> {
      const response = await answer(request);
      statuses.push(response.status);
      return response;
    },
  };
}

async function logWith(witnesses: ReturnType<typeof testWitness>[]) {
  const runtime = createTestRuntime({
    fetch: async (input, init) => {
      const request = new Request(input as string, init);
      const witness = witnesses.find(({ url }) => request.url === `${url}/add-checkpoint`);
      if (!witness) throw new TypeError('fetch failed');
      return witness.serve(request);
    },
  });
  const { sequence } = await openTestLog(database, runtime);
  const committer: Committer = createCommitter(database, runtime);
  const grow = async (count: number) => {
    await Promise.all(Array.from({ length: count }, (_, i) => committer.commit({ events: [noted(`${i}`)] })));
    await sequence();
  };
  const accused: string[] = [];
  const wentBack = async (what: string) => void accused.push(what);
  const witnessing = () => createWitnessing({ database, runtime, log: silent, wentBack }, witnesses);
  return { runtime, grow, witnessing, accused };
}

test('createWitnessing: witnesses cosign each larger tree, and a restart finds where they are', async () => {
  const witnesses = [testWitness('one.example'), testWitness('two.example')];
  const log = await logWith(witnesses);
  const first = log.witnessing();
  expect(await first.tick()).toBe(0);
  for (const count of [3, 300, 1]) {
    await log.grow(count);
    expect(await first.tick()).toBe(2);
  }
  expect(await first.tick()).toBe(0);
  await log.grow(10);
  expect(await log.witnessing().tick()).toBe(2);
  expect(witnesses[0]!.statuses).toEqual([200, 200, 200, 409, 200]);
  const head = (await readLogHead(database))!;
  const note = parseCheckpoint(head.witnessed ?? '');
  if (!note.ok) throw new Error(note.error);
  expect(note.value.size).toBe(314);
  expect(
    verifiedBy(
      note.value.note,
      witnesses.map(({ key }) => key),
    ),
  ).toMatchObject({ ok: true, value: { length: 2 } });
});

test('createWitnessing: one that is away or signs badly does not keep the other from it', async () => {
  const good = testWitness('good.example');
  const forger = {
    ...testWitness('bad.example'),
    serve: async () =>
      new Response(cosign('other\n', 'bad.example', generateKeyPairSync('ed25519').privateKey, 1)),
  };
  const log = await logWith([good, forger]);
  await log.grow(2);
  expect(await log.witnessing().tick()).toBe(1);
  expect((await readLogHead(database))?.witnessed).toContain('good.example');
  expect((await readLogHead(database))?.witnessed).not.toContain('bad.example');
});

test('createWitnessing: a witness that has seen more than there is says so, and it is told once', async () => {
  const witness = testWitness('one.example');
  const log = await logWith([witness]);
  await log.grow(3);
  await log.witnessing().tick();
  const before = (await readLogHead(database))!;
  await log.grow(3);
  const witnessing = log.witnessing();
  expect(await witnessing.tick()).toBe(1);
  expect(log.accused).toEqual([]);
  await database.query(
    { name: 'back', text: 'update log_head set size = $1, root = decode($2, $3), checkpoint = $4' },
    [before.size, Buffer.from(before.root).toString('base64'), 'base64', before.checkpoint],
  );
  const restarted = log.witnessing();
  expect(await restarted.tick()).toBe(0);
  expect(await restarted.tick()).toBe(0);
  expect(log.accused).toEqual(['witness one.example has seen 6 entries, and it has 3']);
});
