import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rangeHash, splitHashes, tilesFor } from '../../src/audit/tile.ts';
import {
  consistencyRanges,
  createFrontier,
  EMPTY_ROOT,
  type Hash,
  inclusionRanges,
  leafHash,
  verifyConsistency,
  verifyInclusion,
} from '../../src/audit/tree.ts';
import { slowPath, slowProof, slowRoot, slowTiles } from '../support/merkle.ts';

const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));

/** The vectors of the Certificate Transparency project for RFC 6962. */
const LEAVES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const sizes = fc.integer({ min: 1, max: 700 });
const entriesOf = (size: number) => Array.from({ length: size }, (_, i) => Uint8Array.of(i % 256, i >> 8));
const ENTRIES = entriesOf(700);
const LEAF_HASHES = ENTRIES.map(leafHash);

/** Proofs as the log makes them: from the tiles that a tree of this size has, read by their plan. */
function hashesOf(ranges: ReturnType<typeof inclusionRanges>, size: number): Hash[] {
  const tiles = slowTiles(ENTRIES.slice(0, size));
  const planned = new Set(tilesFor(ranges, size).map(({ level, n }) => `${level}/${n}`));
  return ranges.map((range) =>
    rangeHash(range, (level, n) => (planned.has(`${level}/${n}`) ? tiles.get(`${level}/${n}`) : undefined)),
  );
}

test('createFrontier: gives the roots of the vectors', () => {
  const frontier = createFrontier();
  const roots = [frontier.root()];
  for (const leaf of LEAVES) {
    frontier.append(leafHash(hex(leaf)));
    roots.push(frontier.root());
  }
  expect(roots.map((root) => Buffer.from(root).toString('hex'))).toEqual(ROOTS);
});

test('createFrontier: gives the root of the plain reference at every size', () => {
  const frontier = createFrontier();
  for (let size = 1; size <= 600; size++) {
    frontier.append(LEAF_HASHES[size - 1]!);
    if (size % 37 === 0 || size > 590 || size < 40)
      expect(Buffer.from(frontier.root()).equals(slowRoot(ENTRIES.slice(0, size)))).toBe(true);
  }
});

test('inclusionRanges: makes the audit path of the plain reference, from tiles', () => {
  fc.assert(
    fc.property(sizes, fc.nat(), (size, at) => {
      const index = at % size;
      const path = hashesOf(inclusionRanges(index, size), size);
      expect(path.map(Buffer.from)).toEqual(slowPath(index, ENTRIES.slice(0, size)));
    }),
    { numRuns: 25 },
  );
});

test('consistencyRanges: makes the proof of the plain reference, from tiles', () => {
  fc.assert(
    fc.property(sizes, fc.nat(), (size, at) => {
      const old = 1 + (at % size);
      const proof = hashesOf(consistencyRanges(old, size), size);
      expect(proof.map(Buffer.from)).toEqual(slowProof(old, ENTRIES.slice(0, size)));
    }),
    { numRuns: 25 },
  );
});

test('verifyInclusion: accepts the true path, and nothing that is changed in any way', () => {
  fc.assert(
    fc.property(sizes, fc.nat(), fc.nat(), (size, at, change) => {
      const index = at % size;
      const entries = ENTRIES.slice(0, size);
      const path = slowPath(index, entries);
      const root = slowRoot(entries);
      const leaf = LEAF_HASHES[index]!;
      expect(verifyInclusion(leaf, index, size, path, root)).toBe(true);
      expect(verifyInclusion(leafHash(Uint8Array.of(9, 9, 9)), index, size, path, root)).toBe(false);
      expect(verifyInclusion(leaf, index, size, [...path, root], root)).toBe(false);
      if (size > 1) {
        const other = (index + 1 + (change % (size - 1))) % size;
        expect(verifyInclusion(leaf, other, size, path, root)).toBe(false);
        expect(verifyInclusion(leaf, index, size, path.slice(1), root)).toBe(false);
        const bent = path.map((hash, i) => (i === change % path.length ? flip(hash, change) : hash));
        expect(verifyInclusion(leaf, index, size, bent, root)).toBe(false);
      }
      expect(verifyInclusion(leaf, index, size, path, flip(root, change))).toBe(false);
    }),
    { numRuns: 30 },
  );
});

test('verifyInclusion: refuses an index that is not in the tree', () => {
  const root = slowRoot(ENTRIES.slice(0, 3));
  for (const index of [-1, 3, 0.5, Number.NaN])
    expect(verifyInclusion(LEAF_HASHES[0]!, index, 3, [], root)).toBe(false);
});

test('verifyConsistency: accepts the true proof, and nothing that is changed in any way', () => {
  fc.assert(
    fc.property(sizes, fc.nat(), fc.nat(), (size, at, change) => {
      const old = 1 + (at % size);
      const entries = ENTRIES.slice(0, size);
      const oldRoot = slowRoot(entries.slice(0, old));
      const root = slowRoot(entries);
      const proof = slowProof(old, entries);
      expect(verifyConsistency(old, oldRoot, size, root, proof)).toBe(true);
      expect(verifyConsistency(old, flip(oldRoot, change), size, root, proof)).toBe(false);
      expect(verifyConsistency(old, oldRoot, size, flip(root, change), proof)).toBe(false);
      expect(verifyConsistency(old, oldRoot, size, root, [...proof, root])).toBe(false);
      if (proof.length > 0) {
        expect(verifyConsistency(old, oldRoot, size, root, proof.slice(1))).toBe(false);
        const bent = proof.map((hash, i) => (i === change % proof.length ? flip(hash, change) : hash));
        expect(verifyConsistency(old, oldRoot, size, root, bent)).toBe(false);
      }
    }),
    { numRuns: 30 },
  );
});

test('verifyConsistency: every tree goes on from the empty one, and none from a larger', () => {
  const root = slowRoot(ENTRIES.slice(0, 3));
  expect(verifyConsistency(0, EMPTY_ROOT, 3, root, [])).toBe(true);
  expect(verifyConsistency(0, root, 3, root, [])).toBe(false);
  expect(verifyConsistency(4, root, 3, root, [])).toBe(false);
});

test('splitHashes: takes a tile apart', () => {
  expect(splitHashes(Buffer.concat(LEAF_HASHES.slice(0, 5))).map(Buffer.from)).toEqual(
    LEAF_HASHES.slice(0, 5).map(Buffer.from),
  );
});

function flip(hash: Uint8Array, at: number): Uint8Array {
  const copy = new Uint8Array(hash);
  copy[at % 32]! ^= 1 << (at % 8);
  return copy;
}
