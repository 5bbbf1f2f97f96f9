import { createHash } from 'node:crypto';

/** RFC 6962 section 2.1 word for word: slow, plain, and what the real tree is held against. */

function sha256(...parts: readonly Uint8Array[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest();
}

function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

export function slowRoot(entries: readonly Uint8Array[]): Buffer {
  if (entries.length === 0) return sha256();
  if (entries.length === 1) return sha256(Uint8Array.of(0), entries[0]!);
  const k = split(entries.length);
  return sha256(Uint8Array.of(1), slowRoot(entries.slice(0, k)), slowRoot(entries.slice(k)));
}

export function slowPath(m: number, entries: readonly Uint8Array[]): Buffer[] {
  if (entries.length === 1) return [];
  const k = split(entries.length);
  return m < k
    ? [...slowPath(m, entries.slice(0, k)), slowRoot(entries.slice(k))]
    : [...slowPath(m - k, entries.slice(k)), slowRoot(entries.slice(0, k))];
}

export function slowProof(m: number, entries: readonly Uint8Array[], whole = true): Buffer[] {
  if (m === entries.length) return whole ? [] : [slowRoot(entries)];
  const k = split(entries.length);
  return m <= k
    ? [...slowProof(m, entries.slice(0, k), whole), slowRoot(entries.slice(k))]
    : [...slowProof(m - k, entries.slice(k), false), slowRoot(entries.slice(0, k))];
}

/** All tiles of a tree by level and place, built the plain way: what a log would serve. */
export function slowTiles(entries: readonly Uint8Array[]): Map<string, Buffer> {
  const tiles = new Map<string, Buffer>();
  let hashes = entries.map((entry) => slowRoot([entry]));
  for (let level = 0; hashes.length > 0; level++) {
    const above: Buffer[] = [];
    for (let n = 0; n * 256 < hashes.length; n++) {
      const tile = hashes.slice(n * 256, (n + 1) * 256);
      tiles.set(`${level}/${n}`, Buffer.concat(tile));
      if (tile.length === 256) above.push(perfect(tile));
    }
    hashes = above;
  }
  return tiles;
}

function perfect(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 1) return hashes[0]!;
  const half = hashes.length / 2;
  return sha256(Uint8Array.of(1), perfect(hashes.slice(0, half)), perfect(hashes.slice(half)));
}
