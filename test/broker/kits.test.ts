import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { checkpointText } from '../../src/audit/checkpoint.ts';
import { signerKey, signNote } from '../../src/audit/note.ts';
import { proofText } from '../../src/audit/proof.ts';
import { createKitVerbs, type KitAsk, type KitVerbs } from '../../src/broker/kits.ts';
import type { Json } from '../../src/json.ts';
import { newId } from '../../src/runtime.ts';
import { callerOf, reason, type TestBroker, value } from '../support/broker.ts';
import { slowPath, slowRoot } from '../support/merkle.ts';
import { createStage, type Stage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
const OPERATOR = callerOf({}, ['operator']);
let stage: Stage;
let hallpass: TestBroker;
let kits: KitVerbs;
let key: KeyObject;
let ask: KitAsk;

beforeEach(async () => {
  stage = await createStage(store);
  hallpass = await stage.start();
  kits = createKitVerbs(hallpass.broker);
  const pair = generateKeyPairSync('ed25519');
  key = pair.privateKey;
  ask = {
    id: newId(stage.runtime),
    logKey: Buffer.from(`${pair.publicKey.export({ format: 'jwk' }).x}`, 'base64url').toString('base64'),
    threshold: 2,
    holders: ['ada', 'bob', 'cyd'],
    grants: ['report'],
    expiresAt: stage.runtime.now() + 86_400_000,
  };
  value(await kits.register(OPERATOR, ask));
});
afterEach(async () => {
  await stage.check();
  await stage.close();
});
afterAll(() => store.stop());

/** An entry of a kit's log: an event of this kind. */
function entry(kind: string, data: Json): string {
  const at = new Date(stage.runtime.now()).toISOString();
  return JSON.stringify({
    v: 1,
    id: newId(stage.runtime),
    at,
    kind,
    actor: { kind: 'system' },
    about: {},
    data,
  });
}

const started = () => entry('broker.started', { configuration: 'x', version: '1' });
const opened = (codes: string) =>
  entry('task.opened', {
    name: 'nightly',
    purpose: 'x',
    parameters: {},
    grantVersion: 'v',
    taskGrant: null,
    claims: { sub: ask.id, codes },
    proof: { method: 'kit-codes', evidence: 'e' },
    request: 'r',
  });

/** Proofs of all entries of a log of this name, by this key. */
function proofs(entries: readonly string[], { log = 'one', by = key, kit = ask.id, bring = entries } = {}) {
  const bytes = entries.map((text) => Buffer.from(text));
  const origin = `hallpass.example/offline/${kit}/${log}/audit/log`;
  const note = signNote(checkpointText({ origin, size: bytes.length, root: slowRoot(bytes) }), [
    signerKey(origin, by),
  ]);
  return bytes.map((_, index) =>
    proofText({
      index,
      path: slowPath(index, bytes),
      checkpoint: note,
      extra: Buffer.from(bring[index] ?? ''),
    }),
  );
}

const kinds = async () =>
  (await hallpass.events()).map(({ kind }) => kind).filter((kind) => /^(kit|offline)\./.test(kind));

test('replay: each entry comes once, whoever replays at the same time, and again changes nothing', async () => {
  const all = proofs([started(), opened('0,1'), entry('disclosed', { what: 'x', filter: {} })]);
  const answers = await Promise.all(Array.from({ length: 8 }, () => kits.replay(OPERATOR, ask.id, all)));
  expect(answers.reduce((sum, answer) => sum + value(answer).replayed, 0)).toBe(3);
  expect(value(await kits.replay(OPERATOR, ask.id, all))).toEqual({ replayed: 0, known: 3, codesReused: [] });
  expect(await kinds()).toEqual(['kit.sealed', 'offline.replayed', 'offline.replayed', 'offline.replayed']);
});

test('replay: what the kit did not sign is refused and named, and nothing that came with it is taken', async () => {
  const entries = [started(), opened('0,1'), started()];
  const bring = [entries[0]!, entries[1]!.replace('nightly', 'nightlx'), ''];
  const altered = await kits.replay(OPERATOR, ask.id, proofs(entries, { bring }));
  expect(altered).toMatchObject({
    error: { reason: 'invalid-request', detail: /^Entry 1 is not what the kit/ },
  });
  const other = generateKeyPairSync('ed25519').privateKey;
  for (const [bad, detail] of [
    [proofs(entries, { by: other }), /^Entry 0 is not what the kit signed/],
    [proofs(entries, { kit: newId(stage.runtime) }), /^Entry 0 is of the log of something else/],
    [[...proofs(entries), ...proofs([started()], { log: 'two' })], /^Entry 0 is of another log/],
    [proofs([started(), '{"kind":"kit.opened"}']), /^Entry 1 is no event/],
    [[...proofs(entries), 'x'], /^Proof 3 cannot be read/],
  ] as const)
    expect(await kits.replay(OPERATOR, ask.id, bad)).toMatchObject({ error: { detail } });
  expect(await kinds()).toEqual(['kit.sealed']);
});

test('replay: a log that forked is refused, and the entry is named', async () => {
  const first = started();
  value(await kits.replay(OPERATOR, ask.id, proofs([first, opened('0,1')])));
  const forked = await kits.replay(OPERATOR, ask.id, proofs([first, opened('1,2'), started()]));
  expect(forked).toMatchObject({ error: { detail: /^Entry 1 is another than the one that came before/ } });
  expect((await kinds()).length).toBe(3);
});

test('replay: a code that was used twice is alarmed once, within a log and between two', async () => {
  const one = proofs([opened('0,1'), opened('1,2')]);
  expect(value(await kits.replay(OPERATOR, ask.id, one)).codesReused).toEqual([{ code: 1, holder: 'bob' }]);
  const two = proofs([opened('0,2')], { log: 'two' });
  const answers = await Promise.all([1, 2, 3].map(() => kits.replay(OPERATOR, ask.id, two)));
  const reused = answers.flatMap((answer) => value(answer).codesReused.map(({ holder }) => holder));
  expect(reused.sort()).toEqual(['ada', 'cyd']);
  expect((await kinds()).filter((kind) => kind === 'kit.code-reused')).toHaveLength(3);
});

test('kits: only operators make them known and replay them, and only known ones', async () => {
  for (const caller of [callerOf({}), callerOf({}, ['auditor'])]) {
    expect(reason(await kits.register(caller, { ...ask, id: newId(stage.runtime) }))).toBe('not-allowed');
    expect(reason(await kits.replay(caller, ask.id, proofs([started()])))).toBe('not-allowed');
  }
  expect(reason(await kits.replay(OPERATOR, newId(stage.runtime), proofs([started()])))).toBe('not-found');
  for (const bad of [
    ask,
    { ...ask, id: newId(stage.runtime), grants: ['report', 'other'] },
    { ...ask, id: newId(stage.runtime), threshold: 4 },
    { ...ask, id: newId(stage.runtime), expiresAt: stage.runtime.now() },
  ])
    expect(reason(await kits.register(OPERATOR, bad))).toBe('invalid-request');
});
