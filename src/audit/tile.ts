import { err, ok, type Result } from '../result.ts';
import {
  EMPTY_ROOT,
  HASH_BYTES,
  type Hash,
  joinFromRight,
  type Node,
  perfectNodes,
  type Range,
} from './tree.ts';

/** The static resources of a log as C2SP tlog-tiles lays them out (https://c2sp.org/tlog-tiles). */

/** Hashes in a full tile, and entries in a full bundle. */
export const TILE_WIDTH = 256;
/** Levels of the tree that one tile spans. */
const TILE_HEIGHT = 8;
/** The format gives an entry's length two bytes. */
export const MAX_ENTRY_BYTES = 65_535;
/** Levels of tiles that a tree of up to 2^53 leaves can have. */
const MAX_LEVEL = 6;

/** A tile of hashes, or with `entries` for its level the bundle of entries below a tile of level 0. */
export interface Tile {
  readonly level: number | 'entries';
  /** Its place in its level. */
  readonly n: number;
  /** From 1 to 256; 256 is a full one. */
  readonly width: number;
}

/** A tile of hashes. */
export interface HashTile extends Tile {
  readonly level: number;
}

/** The path of a tile below the log's prefix, for instance `tile/0/x001/234.p/17`. */
export function tilePath({ level, n, width }: Tile): string {
  const digits = String(n).padStart(Math.ceil(String(n).length / 3) * 3, '0');
  const parts = digits.match(/\d{3}/g) ?? [];
  const name = parts.map((part, i) => (i < parts.length - 1 ? `x${part}` : part)).join('/');
  return `tile/${level}/${name}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

const PATH = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

/** The tile of a path; null when it is none, or is not written in the one way that it is written. */
export function parseTilePath(path: string): Tile | null {
  const [, level = '', name = '', partial] = PATH.exec(path) ?? [];
  if (level === '') return null;
  const tile: Tile = {
    level: level === 'entries' ? level : Number(level),
    n: Number(name.replace(/[x/]/g, '')),
    width: partial === undefined ? TILE_WIDTH : Number(partial),
  };
  const sound =
    Number.isSafeInteger(tile.n) &&
    (tile.level === 'entries' || tile.level <= MAX_LEVEL) &&
    (partial === undefined || tile.width < TILE_WIDTH);
  return sound && tilePath(tile) === path ? tile : null;
}

/** How many hashes a level of a tree has in its tiles. */
export function levelWidth(size: number, level: number): number {
  return Math.floor(size / TILE_WIDTH ** level);
}

/** How wide a tile is in a tree of this size; 0 when it has none there. */
export function widthIn(size: number, level: number | 'entries', n: number): number {
  const hashes = levelWidth(size, level === 'entries' ? 0 : level);
  return Math.max(0, Math.min(TILE_WIDTH, hashes - n * TILE_WIDTH));
}

/** The tiles at the right edge of a tree, lowest first: those that appending to it goes on with. */
export function edgeTiles(size: number): HashTile[] {
  const tiles: HashTile[] = [];
  for (let level = 0; levelWidth(size, level) > 0; level++) {
    const hashes = levelWidth(size, level);
    const n = Math.floor(hashes / TILE_WIDTH);
    if (hashes % TILE_WIDTH > 0) tiles.push({ level, n, width: hashes % TILE_WIDTH });
  }
  return tiles;
}

/** The full-width tile that holds a perfect subtree, and where in it its leaves stand. */
function placeOf({ level, index }: Node): { level: number; n: number; start: number; count: number } {
  const tileLevel = Math.floor(level / TILE_HEIGHT);
  const count = 2 ** (level % TILE_HEIGHT);
  const first = index * count;
  return { level: tileLevel, n: Math.floor(first / TILE_WIDTH), start: first % TILE_WIDTH, count };
}

/** The tiles that hold the hashes of these ranges in a tree of this size, each once. */
export function tilesFor(ranges: readonly Range[], size: number): HashTile[] {
  const tiles = new Map<string, HashTile>();
  for (const node of ranges.flatMap(perfectNodes)) {
    const { level, n } = placeOf(node);
    const tile = { level, n, width: widthIn(size, level, n) };
    tiles.set(tilePath(tile), tile);
  }
  return [...tiles.values()];
}

/** The root of a range, from tiles that `read` gives by level and place. Throws where one is missing or too short. */
export function rangeHash(range: Range, read: (level: number, n: number) => Uint8Array | undefined): Hash {
  return joinFromRight(
    perfectNodes(range).map((node) => {
      const { level, n, start, count } = placeOf(node);
      const hashes = splitHashes(read(level, n) ?? new Uint8Array()).slice(start, start + count);
      if (hashes.length < count) throw new RangeError(`Tile ${level}/${n} is missing or too short`);
      return perfectRoot(hashes);
    }),
  );
}

/** A tile with its hashes. */
export interface TileContent {
  readonly level: number;
  readonly n: number;
  readonly hashes: Uint8Array;
}

/**
 * The tiles that change when leaves join a tree of `size`, whole. `edge` gives the tile at the right edge of each
 * level before, where there is one.
 */
export function growTiles(
  size: number,
  edge: ReadonlyMap<number, Uint8Array>,
  leaves: readonly Hash[],
): TileContent[] {
  const grown: TileContent[] = [];
  let coming = leaves;
  for (let level = 0; coming.length > 0; level++) {
    const before = levelWidth(size, level);
    const hashes = before % TILE_WIDTH === 0 ? [] : splitHashes(edge.get(level) ?? new Uint8Array());
    if (hashes.length !== before % TILE_WIDTH)
      throw new RangeError(`The edge of level ${level} does not fit its size`);
    const all = [...hashes, ...coming];
    const above: Hash[] = [];
    for (let at = 0; at < all.length; at += TILE_WIDTH) {
      const tile = all.slice(at, at + TILE_WIDTH);
      grown.push({
        level,
        n: Math.floor(before / TILE_WIDTH) + at / TILE_WIDTH,
        hashes: Buffer.concat(tile),
      });
      if (tile.length === TILE_WIDTH) above.push(perfectRoot(tile));
    }
    coming = above;
  }
  return grown;
}

/** The root of a tree of `size` leaves, from the tiles at its right edge. */
export function edgeRoot(size: number, edge: ReadonlyMap<number, Uint8Array>): Hash {
  return size === 0 ? EMPTY_ROOT : rangeHash({ start: 0, end: size }, (level) => edge.get(level));
}

/** The root of hashes whose count is a power of two, as those of a full tile are. */
export function perfectRoot(hashes: readonly Hash[]): Hash {
  return rootOf(hashes, 0, hashes.length);
}

function rootOf(hashes: readonly Hash[], start: number, end: number): Hash {
  const only = hashes[start];
  if (only === undefined) throw new RangeError('A tile without hashes has no root');
  if (end - start === 1) return only;
  const middle = start + (end - start) / 2;
  return joinFromRight([rootOf(hashes, start, middle), rootOf(hashes, middle, end)]);
}

export function splitHashes(tile: Uint8Array): Hash[] {
  return Array.from({ length: Math.floor(tile.length / HASH_BYTES) }, (_, i) =>
    tile.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  );
}

/** Entries as a bundle: each after its length, two bytes, big end first. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  const bundle = Buffer.alloc(entries.reduce((sum, entry) => sum + 2 + entry.length, 0));
  let at = 0;
  for (const entry of entries) {
    at = bundle.writeUInt16BE(entry.length, at);
    bundle.set(entry, at);
    at += entry.length;
  }
  return bundle;
}

/** The entries of a bundle, or what is wrong with it. */
export function decodeBundle(bundle: Uint8Array): Result<Uint8Array[], string> {
  const bytes = Buffer.from(bundle.buffer, bundle.byteOffset, bundle.length);
  const entries: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 2 <= bytes.length ? at + 2 + bytes.readUInt16BE(at) : Number.POSITIVE_INFINITY;
    if (end > bytes.length) return err(`its entry ${entries.length} is cut off`);
    entries.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return ok(entries);
}
