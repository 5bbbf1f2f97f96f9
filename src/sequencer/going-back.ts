import { edgeRoot, edgeTiles } from '../audit/tile.ts';
import { EMPTY_ROOT, equalHashes, HASH_BYTES, type Hash } from '../audit/tree.ts';
import type { Database } from '../store/database.ts';
import { readTiles } from '../store/log.ts';
import type { SeenTree } from './memory.ts';

/** Why the log as it is stored does not continue the tree that was seen; null when it does. */
export async function goingBack(
  database: Database,
  head: SeenTree,
  seen: SeenTree | null,
): Promise<string | null> {
  if (seen === null) return null;
  if (head.size < seen.size) return `it went back from ${seen.size} to ${head.size} entries`;
  const root = head.size === seen.size ? head.root : await rootAt(database, seen.size);
  if (root !== null && equalHashes(root, seen.root)) return null;
  return `its first ${seen.size} entries are not those that it had: its root at ${seen.size} entries is another`;
}

/** The root of the first entries, from the tiles as they are now: those of an earlier size are how they begin. */
async function rootAt(database: Database, size: number): Promise<Hash | null> {
  if (size === 0) return EMPTY_ROOT;
  const wanted = edgeTiles(size);
  const stored = new Map(
    (await readTiles(database, wanted)).map(({ level, n, hashes }) => [`${level}/${n}`, hashes]),
  );
  const edge = new Map<number, Uint8Array>();
  for (const { level, n, width } of wanted) {
    const hashes = stored.get(`${level}/${n}`);
    if (hashes === undefined || hashes.length < width * HASH_BYTES) return null;
    edge.set(level, hashes.subarray(0, width * HASH_BYTES));
  }
  return edgeRoot(size, edge);
}
