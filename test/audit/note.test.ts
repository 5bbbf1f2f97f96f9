import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkpointText, parseCheckpoint, signersOf } from '../../src/audit/checkpoint.ts';
import {
  cosign,
  parseNote,
  parseVerifierKey,
  signerKey,
  signNote,
  verifiedBy,
  verifierKey,
} from '../../src/audit/note.ts';
import { parseProof, proofText, verifyProof } from '../../src/audit/proof.ts';
import { leafHash } from '../../src/audit/tree.ts';
import { slowPath, slowRoot } from '../support/merkle.ts';

const ORIGIN = 'broker.example/audit/log';
const newKey = () => generateKeyPairSync('ed25519').privateKey;
const signer = signerKey(ORIGIN, newKey());

function head(size = 5, root: Uint8Array = slowRoot([Buffer.from('x')])) {
  return checkpointText({ origin: ORIGIN, size, root });
}

// The example of golang.org/x/mod/sumdb/note, the first implementation. Its private key is in its documentation.
const GO_KEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const GO_TEXT =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_NOTE = `${GO_TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`;

test('verifiedBy: the note of the first implementation is good', () => {
  const key = parseVerifierKey(GO_KEY)!;
  const note = parseNote(GO_NOTE);
  if (!note.ok) throw new Error(note.error);
  expect(note.value.text).toBe(GO_TEXT);
  expect(verifiedBy(note.value, [key])).toEqual({ ok: true, value: [key] });
  expect(verifiedBy({ ...note.value, text: `${GO_TEXT}!` }, [key])).toMatchObject({ ok: false });
});

test('parseCheckpoint: a checkpoint of the Go checksum database is good', () => {
  const key = parseVerifierKey('sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8')!;
  const checkpoint = parseCheckpoint(
    'go.sum database tree\n6476701\nmb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=\n\n— sum.golang.org Az3grsLX85Gz+s1SiTbgkuqxgItqFq7gsMUEyVnrsa9LM7Us9S+1xbFIGu95949rj4nPRYfvimWEPWL+o3GeoWwOoAw=\n',
  );
  if (!checkpoint.ok) throw new Error(checkpoint.error);
  expect(checkpoint.value).toMatchObject({ origin: 'go.sum database tree', size: 6_476_701 });
  expect(verifiedBy(checkpoint.value.note, [key])).toEqual({ ok: true, value: [key] });
});

test('parseCheckpoint: reads the example of the specification', () => {
  const text =
    'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n';
  const checkpoint = parseCheckpoint(text);
  expect(checkpoint).toMatchObject({
    ok: true,
    value: { origin: 'example.com/behind-the-sofa', size: 20_852_163 },
  });
  expect(checkpoint.ok && checkpoint.value.note.signatures.map(({ name }) => name)).toEqual([
    'example.com/behind-the-sofa',
    'witness.example.com/w1',
  ]);
});

test('parseCheckpoint: says what is wrong', () => {
  const sign = (text: string) => signNote(text, [signer]);
  const root = Buffer.alloc(32, 1).toString('base64');
  for (const [text, fault] of [
    [sign(`\n5\n${root}\n`), 'first line'],
    [sign(`a\n05\n${root}\n`), 'tree size'],
    [sign(`a\n-5\n${root}\n`), 'tree size'],
    [sign(`a\n9999999999999999\n${root}\n`), 'tree size'],
    [sign(`a\n5\n${root.slice(4)}\n`), 'root hash'],
    [sign(`a\n5\n${root} \n`), 'root hash'],
    [sign(`a\n5\n${root}\n\nmore\n`), 'empty line'],
    [`a\n5\n${root}\n`, 'signatures'],
    [`a\n5\n${root}\n\n`, 'signature line'],
    [sign(`a\n5\n${root}\n\u0007\n`), 'characters'],
  ] as const) {
    const read = parseCheckpoint(text);
    expect(!read.ok && read.error, JSON.stringify(text)).toContain(fault);
  }
});

test('signersOf: takes the keys of this log alone, and refuses a bad signature of one', () => {
  const other = signerKey(ORIGIN, newKey());
  const stranger = signerKey('elsewhere.example', newKey());
  const read = (text: string) => {
    const checkpoint = parseCheckpoint(text);
    if (!checkpoint.ok) throw new Error(checkpoint.error);
    return checkpoint.value;
  };
  const both = read(signNote(head(), [signer, other, stranger]));
  expect(signersOf(both, [signer.verifier])).toEqual({ ok: true, value: [signer.verifier] });
  expect(signersOf(both, [other.verifier, signer.verifier])).toMatchObject({ value: { length: 2 } });
  expect(signersOf(both, [stranger.verifier])).toMatchObject({ ok: false });
  expect(signersOf(both, [])).toMatchObject({ ok: false });
  const line = signNote(head(4), [signer]).split('\n\n')[1];
  expect(signersOf(read(`${head(5)}\n${line}`), [signer.verifier])).toMatchObject({
    ok: false,
    error: expect.stringContaining('not good'),
  });
});

test('signersOf: a witness signs for nobody but himself, whatever he is called', () => {
  const privateKey = newKey();
  const witness = verifierKey(ORIGIN, createPublicKey(privateKey), 'cosignature');
  const checkpoint = parseCheckpoint(`${head()}\n${cosign(head(), ORIGIN, privateKey, 1_700_000_000)}`);
  if (!checkpoint.ok) throw new Error(checkpoint.error);
  expect(verifiedBy(checkpoint.value.note, [witness])).toEqual({ ok: true, value: [witness] });
  expect(signersOf(checkpoint.value, [witness])).toMatchObject({ ok: false });
});

test('parseVerifierKey: reads what verifierKey writes, and nothing that is bent', () => {
  const { text } = signer.verifier;
  expect(parseVerifierKey(text)?.text).toBe(text);
  const [name, id, key] = text.split('+', 3) as [string, string, string];
  for (const bent of [
    `other+${id}+${text.slice(name.length + id.length + 2)}`,
    text.replace(
      id,
      id.replace(/^./, (c) => (c === '0' ? '1' : '0')),
    ),
    text.slice(0, -4),
    `${name}+${id}`,
    `${name}+${id}+!${key}`,
    '',
  ])
    expect(parseVerifierKey(bent), bent).toBeNull();
  fc.assert(fc.property(fc.string(), (any) => void parseVerifierKey(any)));
});

test('parseNote: takes any text', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => void parseNote(text)));
  expect(parseNote(`a\ud800\n\n— a x08go/ZJ\n`)).toMatchObject({ ok: false });
});

test('cosign: a witness signs the text with its instant', () => {
  const key = newKey();
  const text = head();
  const line = cosign(text, 'witness.example/w', key, 1_679_315_147);
  const witness = verifierKey('witness.example/w', signerKey('x', key).verifier.publicKey, 'cosignature');
  const note = parseNote(`${signNote(text, [signer])}${line}`);
  if (!note.ok) throw new Error(note.error);
  expect(verifiedBy(note.value, [witness])).toEqual({ ok: true, value: [witness] });
  expect(parseVerifierKey(witness.text)?.kind).toBe('cosignature');
  const later = cosign(text, 'witness.example/w', key, 1_679_315_148);
  expect(later).not.toBe(line);
  expect(verifiedBy({ ...note.value, text: head(6) }, [witness])).toMatchObject({ ok: false });
});

test('verifyProof: an entry in the tree of a signed checkpoint verifies offline, a bent one does not', () => {
  const entries = ['a', 'b', 'c', 'd', 'e'].map((text) => Buffer.from(text));
  const checkpoint = signNote(head(5, slowRoot(entries)), [signer]);
  const path = slowPath(2, entries);
  const text = proofText({ index: 2, path, checkpoint, extra: entries[2]! });
  const read = (proof: string) => {
    const parsed = parseProof(proof);
    if (!parsed.ok) throw new Error(parsed.error);
    return verifyProof(parsed.value, [signer.verifier]);
  };
  const verified = read(text);
  expect(verified.ok && Buffer.from(verified.value).toString()).toBe('c');
  expect(read(text.replace('index 2', 'index 3'))).toMatchObject({ ok: false });
  expect(read(proofText({ index: 2, path, checkpoint, extra: entries[1]! }))).toMatchObject({ ok: false });
  const parsed = parseProof(text);
  expect(parsed.ok && verifyProof(parsed.value, [signerKey(ORIGIN, newKey()).verifier])).toMatchObject({
    ok: false,
  });
  expect(leafHash(entries[2]!).length).toBe(32);
});

test('parseProof: reads the shape of the specification, and takes any text', () => {
  const checkpoint = signNote(head(), [signer]);
  const hash = Buffer.alloc(32, 3).toString('base64');
  const whole = `c2sp.org/tlog-proof@v1\nindex 3\n${hash}\n${hash}\n\n${checkpoint}`;
  expect(parseProof(whole)).toMatchObject({
    ok: true,
    value: { index: 3, extra: null, path: { length: 2 } },
  });
  for (const bent of [
    whole.replace('@v1', '@v2'),
    whole.replace('index 3', 'index 03'),
    whole.replace('index 3\n', ''),
    whole.replace(hash, hash.slice(4)),
    `c2sp.org/tlog-proof@v1\nextra ?\n${whole.slice(23)}`,
    whole.slice(0, 60),
  ])
    expect(parseProof(bent), bent).toMatchObject({ ok: false });
  fc.assert(
    fc.property(fc.string(), (text) => void parseProof(`c2sp.org/tlog-proof@v1\n${text}\n\n${checkpoint}`)),
  );
});
