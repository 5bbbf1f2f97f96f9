import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeBundle,
  edgeRoot,
  edgeTiles,
  encodeBundle,
  growTiles,
  levelWidth,
  parseTilePath,
  tilePath,
  widthIn,
} from '../../src/audit/tile.ts';
import { leafHash } from '../../src/audit/tree.ts';
import { slowRoot, slowTiles } from '../support/merkle.ts';

const tiles = fc.record({
  level: fc.oneof(fc.constant('entries' as const), fc.integer({ min: 0, max: 6 })),
  n: fc.integer({ min: 0, max: 2 ** 45 }),
  width: fc.integer({ min: 1, max: 256 }),
});

test('tilePath: writes the paths of the specification', () => {
  expect(tilePath({ level: 0, n: 1_234_067, width: 256 })).toBe('tile/0/x001/x234/067');
  expect(tilePath({ level: 1, n: 0, width: 17 })).toBe('tile/1/000.p/17');
  expect(tilePath({ level: 'entries', n: 999, width: 256 })).toBe('tile/entries/999');
  expect(tilePath({ level: 'entries', n: 1000, width: 1 })).toBe('tile/entries/x001/000.p/1');
});

test('parseTilePath: reads what tilePath writes', () => {
  fc.assert(
    fc.property(tiles, (tile) => {
      expect(parseTilePath(tilePath(tile))).toEqual(tile);
    }),
  );
});

test('parseTilePath: refuses every other way to write a path', () => {
  for (const path of [
    'tile/00/000',
    'tile/7/000',
    'tile/64/000',
    'tile/-1/000',
    'tile/0/0',
    'tile/0/0000',
    'tile/0/x000/001',
    'tile/0/001/002',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/000.p/01',
    'tile/0/000.p/',
    'tile/0/000/',
    'tile/entry/000',
    '/tile/0/000',
    'tile/0/x999/x999/x999/x999/x999/x999/999',
    'tile/0/../0/000',
  ])
    expect(parseTilePath(path), path).toBeNull();
});

test('parseTilePath: takes any text', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const tile = parseTilePath(`tile/${text}`);
      if (tile) expect(tilePath(tile)).toBe(`tile/${text}`);
    }),
  );
});

test('edgeTiles: are the partial tiles of the specification', () => {
  expect(edgeTiles(70_000)).toEqual([
    { level: 0, n: 273, width: 112 },
    { level: 1, n: 1, width: 17 },
    { level: 2, n: 0, width: 1 },
  ]);
  expect(edgeTiles(256)).toEqual([{ level: 1, n: 0, width: 1 }]);
  expect(edgeTiles(0)).toEqual([]);
});

test('widthIn: tiles of a level together are as wide as the level', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200_000 }), fc.integer({ min: 0, max: 2 }), (size, level) => {
      const all = Math.ceil(levelWidth(size, level) / 256);
      const widths = Array.from({ length: all + 1 }, (_, n) => widthIn(size, level, n));
      expect(widths.reduce((sum, width) => sum + width, 0)).toBe(levelWidth(size, level));
      expect(widths.at(-1)).toBe(0);
    }),
  );
});

test('decodeBundle: gives back the entries, whatever is in them', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (entries) => {
      const decoded = decodeBundle(encodeBundle(entries));
      expect(decoded.ok && decoded.value.map((entry) => [...entry])).toEqual(
        entries.map((entry) => [...entry]),
      );
    }),
  );
  const longest = new Uint8Array(65_535).fill(7);
  expect(decodeBundle(encodeBundle([longest]))).toMatchObject({ ok: true });
});

test('decodeBundle: refuses a bundle that is cut off', () => {
  const bundle = encodeBundle([Buffer.from('one'), Buffer.from('two')]);
  expect(decodeBundle(bundle.subarray(0, bundle.length - 1))).toEqual({
    ok: false,
    error: 'its entry 1 is cut off',
  });
  expect(decodeBundle(bundle.subarray(0, 6))).toEqual({ ok: false, error: 'its entry 1 is cut off' });
});

test('growTiles: a tree that grows by any steps has the tiles and roots of the plain reference', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 6 }), (steps) => {
      const stored = new Map<string, Uint8Array>();
      let size = 0;
      for (const step of steps) {
        const edge = new Map(edgeTiles(size).map(({ level, n }) => [level, stored.get(`${level}/${n}`)!]));
        const leaves = Array.from({ length: step }, (_, i) => leafHash(entry(size + i)));
        for (const { level, n, hashes } of growTiles(size, edge, leaves)) stored.set(`${level}/${n}`, hashes);
        size += step;
      }
      const entries = Array.from({ length: size }, (_, i) => entry(i));
      expect(new Map([...stored].map(([key, tile]) => [key, Buffer.from(tile).toString('hex')]))).toEqual(
        new Map([...slowTiles(entries)].map(([key, tile]) => [key, tile.toString('hex')])),
      );
      const edge = new Map(edgeTiles(size).map(({ level, n }) => [level, stored.get(`${level}/${n}`)!]));
      expect(Buffer.from(edgeRoot(size, edge)).equals(slowRoot(entries))).toBe(true);
    }),
    { numRuns: 15 },
  );
});

test('growTiles: refuses an edge that does not fit', () => {
  expect(() => growTiles(3, new Map(), [leafHash(entry(3))])).toThrow('does not fit');
});

function entry(i: number): Uint8Array {
  return Buffer.from(`entry ${i}`);
}
