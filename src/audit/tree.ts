import { hash } from 'node:crypto';

/**
 * The Merkle tree of RFC 6962 section 2.1 over SHA-256. Sizes and indexes are JavaScript numbers: exact up to 2^53,
 * which no log of ours outgrows.
 */

/** 32 bytes. */
export type Hash = Uint8Array;

export const HASH_BYTES = 32;

/** The root of the tree without leaves: the hash of nothing. */
export const EMPTY_ROOT: Hash = sha256();

const LEAF_PREFIX = Uint8Array.of(0);
const NODE_PREFIX = Uint8Array.of(1);

export function leafHash(entry: Uint8Array): Hash {
  return sha256(LEAF_PREFIX, entry);
}

export function nodeHash(left: Hash, right: Hash): Hash {
  return sha256(NODE_PREFIX, left, right);
}

function sha256(...parts: readonly Uint8Array[]): Hash {
  return hash('sha256', Buffer.concat(parts), 'buffer');
}

export function equalHashes(a: Hash, b: Hash): boolean {
  return Buffer.compare(a, b) === 0;
}

/** A perfect subtree: the leaves from `index * 2^level` up to, not with, `(index + 1) * 2^level`. */
export interface Node {
  readonly level: number;
  readonly index: number;
}

/** The leaves from `start` up to, not with, `end`. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * The right edge of a growing tree: the roots of its perfect subtrees, the largest first. It is all that appending
 * and computing the root need, and holds at most 53 hashes.
 */
export interface Frontier {
  readonly size: number;
  append(leaf: Hash): void;
  root(): Hash;
  /** One that grows by itself from here. */
  copy(): Frontier;
}

export function createFrontier(size = 0, nodes: readonly Hash[] = []): Frontier {
  const edge = [...nodes];
  let leaves = size;
  return {
    get size() {
      return leaves;
    },
    append(leaf) {
      let hash = leaf;
      // Each subtree of the edge that is as large as what we bring joins it, as carrying does in a binary count.
      for (let rest = leaves; rest % 2 === 1; rest = Math.floor(rest / 2)) {
        const left = edge.pop();
        if (left === undefined) throw new RangeError('The frontier does not fit its size');
        hash = nodeHash(left, hash);
      }
      edge.push(hash);
      leaves++;
    },
    root: () => (edge.length === 0 ? EMPTY_ROOT : joinFromRight(edge)),
    copy: () => createFrontier(leaves, edge),
  };
}

/** The perfect subtrees that make up a range as RFC 6962 splits it, from left to right. */
export function perfectNodes({ start, end }: Range): Node[] {
  const nodes: Node[] = [];
  for (let at = start; at < end; ) {
    let level = 0;
    let width = 1;
    while (at % (width * 2) === 0 && at + width * 2 <= end) {
      width *= 2;
      level++;
    }
    nodes.push({ level, index: at / width });
    at += width;
  }
  return nodes;
}

/** The root of a range whose perfect subtrees have these hashes, from left to right. */
export function joinFromRight(hashes: readonly Hash[]): Hash {
  let [joined, ...rest] = hashes.toReversed();
  if (joined === undefined) throw new RangeError('A range without leaves has no root');
  for (const left of rest) joined = nodeHash(left, joined);
  return joined;
}

/** The ranges whose roots are the audit path of a leaf, from the leaf up (RFC 6962 section 2.1.1). */
export function inclusionRanges(index: number, size: number): Range[] {
  if (!(index >= 0 && index < size)) throw new RangeError(`There is no leaf ${index} in a tree of ${size}`);
  const path: Range[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const middle = start + splitOf(end - start);
    if (index < middle) {
      path.push({ start: middle, end });
      end = middle;
    } else {
      path.push({ start, end: middle });
      start = middle;
    }
  }
  return path.toReversed();
}

/** The ranges whose roots prove that the tree of `oldSize` is a prefix of that of `size` (RFC 6962 section 2.1.2). */
export function consistencyRanges(oldSize: number, size: number): Range[] {
  if (!(oldSize >= 0 && oldSize <= size)) throw new RangeError(`A tree of ${size} has no part of ${oldSize}`);
  if (oldSize === 0 || oldSize === size) return [];
  const proof: Range[] = [];
  let start = 0;
  let end = size;
  while (oldSize !== end) {
    const middle = start + splitOf(end - start);
    if (oldSize <= middle) {
      proof.push({ start: middle, end });
      end = middle;
    } else {
      proof.push({ start, end: middle });
      start = middle;
    }
  }
  // What is left is the last part of the old tree. Its verifier has it when it is the whole of it.
  if (start > 0) proof.push({ start, end });
  return proof.toReversed();
}

/** The largest power of two below `size`. */
function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/** Whether the path leads from the leaf to the root (RFC 9162 section 2.1.3.2). */
export function verifyInclusion(
  leaf: Hash,
  index: number,
  size: number,
  path: readonly Hash[],
  root: Hash,
): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return false;
  let at = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of path) {
    if (last === 0 || sibling.length !== HASH_BYTES) return false;
    if (at % 2 === 1 || at === last) {
      hash = nodeHash(sibling, hash);
      while (at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && equalHashes(hash, root);
}

/** Whether the proof shows the old tree to be a prefix of the new one (RFC 9162 section 2.1.4.2). */
export function verifyConsistency(
  oldSize: number,
  oldRoot: Hash,
  size: number,
  root: Hash,
  proof: readonly Hash[],
): boolean {
  if (!Number.isSafeInteger(oldSize) || !Number.isSafeInteger(size) || oldSize < 0 || oldSize > size)
    return false;
  if (oldSize === 0) return proof.length === 0 && equalHashes(oldRoot, EMPTY_ROOT);
  if (oldSize === size) return proof.length === 0 && equalHashes(oldRoot, root);
  if (proof.some((hash) => hash.length !== HASH_BYTES)) return false;
  let at = oldSize - 1;
  let last = size - 1;
  while (at % 2 === 1) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  // The old tree is whole on its own when its size is a power of two: the proof then leaves it out.
  const [first, ...rest] = at === 0 ? [oldRoot, ...proof] : proof;
  if (first === undefined) return false;
  let oldHash = first;
  let hash = first;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      oldHash = nodeHash(sibling, oldHash);
      hash = nodeHash(sibling, hash);
      while (at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && equalHashes(oldHash, oldRoot) && equalHashes(hash, root);
}
