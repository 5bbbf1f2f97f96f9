import { type Checkpoint, parseCheckpoint, signersOf } from './checkpoint.ts';
import type { AuditEvent } from './event.ts';
import { isIntroduced } from './introduction.ts';
import { createLives } from './life.ts';
import { parseVerifierKey, type VerifierKey } from './note.ts';
import { decodeBundle, perfectRoot, splitHashes, TILE_WIDTH, type Tile, tilePath, widthIn } from './tile.ts';
import { createFrontier, equalHashes, type Frontier, type Hash, leafHash } from './tree.ts';

/** Where a log is read from. */
export interface LogSource {
  checkpoint(): Promise<string>;
  /** A tile of hashes or a bundle of entries; null when it is not there. */
  tile(tile: Tile): Promise<Uint8Array | null>;
  /** Whether it has tiles of hashes: an export has entries alone. */
  readonly hasHashes: boolean;
}

/** A tree that was seen before. */
export interface Seen {
  readonly size: number;
  readonly root: Hash;
}

export interface VerifyOptions {
  /** Keys that are trusted to sign for the log. */
  readonly trusted: readonly VerifierKey[];
  /** Trees that the log had at earlier looks: it must go on from each. */
  readonly seen: readonly Seen[];
  readonly onProgress?: (done: number, all: number) => void;
}

/** Something that is not as it should be. */
export interface Finding {
  /** The entry, where it is one that is bad. */
  readonly index: number | null;
  readonly what: string;
}

export interface Verified {
  readonly checkpoint: Checkpoint | null;
  /** In the order of the log; empty: all is well. */
  readonly findings: readonly Finding[];
  /** Entries that were not there to be read, and whose hashes were. */
  readonly unread: number;
  /** Keys that the log itself says sign for it, each trusted before or vouched for by one that is. */
  readonly announced: readonly VerifierKey[];
  /** The keys that are trusted and signed. */
  readonly signedBy: readonly VerifierKey[];
}

/** Findings that are told; more are counted together with the last. */
const MAX_FINDINGS = 20;
/** Bundles that are asked for ahead. */
const AHEAD = 8;

/**
 * Verifies a whole log: each entry against the tree, the tree against its checkpoint and against every tree seen
 * before, the signature, and the lives of tasks and leases. Memory stays bounded: a few bundles, 32 bytes for each 256
 * entries, and what lives. Reading what is there never throws for what it holds.
 */
export async function verifyLog(source: LogSource, options: VerifyOptions): Promise<Verified> {
  const read = parseCheckpoint(await source.checkpoint());
  if (!read.ok)
    return { ...NOTHING, findings: [{ index: null, what: `The checkpoint cannot be read: ${read.error}` }] };
  const checkpoint = read.value;
  const walk = createWalk(checkpoint, options);
  for await (const { n, entries, hashes } of bundlesOf(source, checkpoint.size)) {
    walk.bundle(n, entries, hashes);
    options.onProgress?.(Math.min((n + 1) * TILE_WIDTH, checkpoint.size), checkpoint.size);
  }
  if (source.hasHashes) await checkUpperTiles(source, checkpoint.size, walk);
  return walk.end();
}

const NOTHING = { checkpoint: null, unread: 0, announced: [], signedBy: [] };

interface Bundle {
  readonly n: number;
  readonly entries: Uint8Array | null;
  readonly hashes: Uint8Array | null;
}

/** The bundles and their hashes in their order, some asked for ahead. */
async function* bundlesOf(source: LogSource, size: number): AsyncGenerator<Bundle> {
  const all = Math.ceil(size / TILE_WIDTH);
  const asked: Promise<Bundle>[] = [];
  const ask = async (n: number): Promise<Bundle> => {
    const width = widthIn(size, 0, n);
    const [entries, hashes] = await Promise.all([
      source.tile({ level: 'entries', n, width }),
      source.hasHashes ? source.tile({ level: 0, n, width }) : null,
    ]);
    return { n, entries, hashes };
  };
  for (let n = 0; n < all; n++) {
    while (asked.length < AHEAD && n + asked.length < all) {
      const promise = ask(n + asked.length);
      promise.catch(() => {});
      asked.push(promise);
    }
    const next = asked.shift();
    if (next !== undefined) yield await next;
  }
}

interface Walk {
  bundle(n: number, entries: Uint8Array | null, hashes: Uint8Array | null): void;
  /** The roots of the full tiles of level 0. */
  readonly tileRoots: readonly Hash[];
  find(index: number | null, what: string): void;
  end(): Verified;
}

function createWalk(checkpoint: Checkpoint, { trusted, seen }: VerifyOptions): Walk {
  const findings: Finding[] = [];
  let found = 0;
  let unread = 0;
  /** The tree of what the tiles say; where they are absent, of the entries. */
  const tree = createFrontier();
  /** The tree of the entries alone, from where the two part. */
  let byEntries: Frontier | null = null;
  const tileRoots: Hash[] = [];
  const wanted = new Map(seen.map(({ size, root }) => [size, root]));
  const matched: number[] = [];
  const announced: { readonly index: number; readonly key: VerifierKey }[] = [];
  let lives = createLives();

  function find(index: number | null, what: string): void {
    found++;
    if (findings.length < MAX_FINDINGS) findings.push({ index, what });
  }

  function entry(index: number, bytes: Uint8Array): void {
    const event = parseEvent(bytes);
    if (event === null) {
      find(index, 'It is no event');
      return;
    }
    const fault = lives.next(event);
    if (fault !== null) find(index, `"${event.kind}" cannot come here: ${fault}`);
    if (event.kind !== 'log.key-added') return;
    const key = parseVerifierKey(event.data.key);
    if (key !== null && isVouchedFor(key, event.data.introduction)) announced.push({ index, key });
  }

  function isVouchedFor(key: VerifierKey, introduction: string | undefined): boolean {
    if (trusted.some(({ text }) => text === key.text)) return true;
    return (
      introduction !== undefined &&
      isIntroduced(key, introduction, [...trusted, ...announced.map((one) => one.key)])
    );
  }

  function append(index: number, stored: Hash | undefined, bytes: Uint8Array | undefined): void {
    const own = bytes === undefined ? undefined : leafHash(bytes);
    const hash = stored ?? own;
    if (hash === undefined) {
      find(index, 'It is not there, and neither is its hash');
      return;
    }
    if (own !== undefined && stored !== undefined && !equalHashes(own, stored)) {
      byEntries ??= tree.copy();
      find(
        index,
        bytes?.length === 0 ? 'It is gone: its hash is still there' : 'It is not what its hash was made of',
      );
      // What comes after it may only seem wrong.
      lives = createLives(true);
    } else if (bytes !== undefined) entry(index, bytes);
    tree.append(hash);
    if (own !== undefined) byEntries?.append(own);
    const root = wanted.get(tree.size);
    if (root === undefined) return;
    if (equalHashes(tree.root(), root)) matched.push(tree.size);
    else {
      const since = matched.at(-1) ?? 0;
      find(
        null,
        `The first ${tree.size} entries are not those that were seen before: something from entry ${since} on was changed`,
      );
    }
  }

  function bundle(n: number, content: Uint8Array | null, tile: Uint8Array | null): void {
    const start = n * TILE_WIDTH;
    const width = widthIn(checkpoint.size, 0, n);
    const decoded = content === null ? null : decodeBundle(content);
    if (decoded?.ok === false)
      find(start, `The bundle of entries from ${start} on cannot be read: ${decoded.error}`);
    const entries = decoded?.ok ? decoded.value : null;
    const hashes = tile === null ? [] : splitHashes(tile);
    if (entries === null) {
      unread += width;
      lives = createLives(true);
    } else if (entries.length !== width)
      find(
        start + Math.min(entries.length, width),
        `The bundle from ${start} on has ${entries.length} entries, not ${width}`,
      );
    if (tile !== null && hashes.length !== width)
      find(start, `${tilePath({ level: 0, n, width })} has ${hashes.length} hashes, not ${width}`);
    for (let i = 0; i < width; i++) append(start + i, hashes[i], entries?.[i]);
    if (width === TILE_WIDTH) {
      const leaves = hashes.length === width ? hashes : (entries ?? []).map(leafHash);
      if (leaves.length === width) tileRoots.push(perfectRoot(leaves));
    }
  }

  function end(): Verified {
    for (const { size, root } of seen) {
      if (size > checkpoint.size)
        find(
          null,
          `The log went back: it had ${size} entries when it was seen before, and has ${checkpoint.size}`,
        );
      else if (size === checkpoint.size && !equalHashes(root, checkpoint.root))
        find(null, `The log was forked: two trees of ${size} entries were signed`);
    }
    if (tree.size !== checkpoint.size || !equalHashes(tree.root(), checkpoint.root)) {
      const whole = byEntries?.size === checkpoint.size && equalHashes(byEntries.root(), checkpoint.root);
      find(
        null,
        whole
          ? 'The entries are those that were signed: it is the hashes that were changed'
          : `The tree of ${tree.size} entries is not the one of ${checkpoint.size} that was signed`,
      );
    }
    // What a tree that was seen before says of keys was signed by a key that was trusted then.
    const vouched = announced.filter(({ index }) => index < (matched.at(-1) ?? 0)).map(({ key }) => key);
    const signers = signersOf(checkpoint, [...trusted, ...vouched]);
    if (!signers.ok) find(null, `The checkpoint is not signed as it must be: ${signers.error}`);
    if (found > findings.length) findings.push({ index: null, what: `And ${found - findings.length} more` });
    return {
      checkpoint,
      findings,
      unread,
      announced: announced.map(({ key }) => key),
      signedBy: signers.ok ? signers.value : [],
    };
  }

  return { bundle, tileRoots, find, end };
}

/** Compares the tiles above level 0 with what those below make them. */
async function checkUpperTiles(source: LogSource, size: number, walk: Walk): Promise<void> {
  let below = walk.tileRoots;
  for (let level = 1; below.length > 0; level++) {
    const roots: Hash[] = [];
    for (let n = 0; n * TILE_WIDTH < below.length; n++) {
      const wanted = below.slice(n * TILE_WIDTH, (n + 1) * TILE_WIDTH);
      const width = widthIn(size, level, n);
      const tile = splitHashes((await source.tile({ level, n, width })) ?? new Uint8Array());
      const bad = wanted.findIndex((hash, i) => tile[i] === undefined || !equalHashes(hash, tile[i]));
      if (bad >= 0 || tile.length !== wanted.length) {
        const span = TILE_WIDTH ** level;
        const from = (n * TILE_WIDTH + Math.max(bad, 0)) * span;
        const name = tilePath({ level, n, width });
        walk.find(
          null,
          `${name} does not fit the tiles below it: it, or entries ${from} to ${from + span - 1}, were changed`,
        );
      }
      if (wanted.length === TILE_WIDTH) roots.push(perfectRoot(wanted));
    }
    below = roots;
  }
}

function parseEvent(bytes: Uint8Array): AuditEvent | null {
  try {
    const event: unknown = JSON.parse(Buffer.from(bytes).toString());
    const { kind, about, actor, data } = event as Partial<Record<string, unknown>>;
    const sound = typeof kind === 'string' && isObject(about) && isObject(actor) && isObject(data);
    return sound ? (event as AuditEvent) : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): boolean {
  return value !== null && typeof value === 'object';
}
