import { parseCheckpoint } from '../audit/checkpoint.ts';
import { proofText } from '../audit/proof.ts';
import { encodeBundle, rangeHash, TILE_WIDTH, type Tile, tilesFor, widthIn } from '../audit/tile.ts';
import { HASH_BYTES, inclusionRanges } from '../audit/tree.ts';
import { ok, type Result } from '../result.ts';
import { type LogHead, leaseEntries, logEntries, logKeys, readLogHead, readTiles } from '../store/log.ts';
import { authorize, disclose } from './authorize.ts';
import type { Broker } from './broker.ts';
import { readLease } from './read.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { Caller } from './verbs.ts';

type Answer<T> = Promise<Result<T, Refusal>>;

/** An event of a lease, with the proof that it is in the log. */
export interface Receipt {
  readonly kind: string;
  readonly index: number;
  /** In the form of C2SP tlog-proof, with the event itself as its extra data. */
  readonly proof: string;
}

/** What the broker shows of its log in the forms that other people's tools read. */
export interface LogVerbs {
  /** Whether entries are for everybody, because the configuration says so. */
  readonly isPublic: boolean;
  /** The newest signed checkpoint, with the signatures of witnesses where they vouch for it; null before the first. For everybody. */
  checkpoint(): Promise<string | null>;
  /** The verifier keys of the log, the newest last. For everybody. */
  keys(): Promise<readonly string[]>;
  /** A tile of hashes or a bundle of entries, for operators and auditors, or everybody where the log is public. */
  tile(caller: Caller | null, tile: Tile): Answer<Uint8Array>;
  /** Proofs of what the log says of a lease, for whoever may read it. Empty until it is sequenced: within a second. */
  receipts(caller: Caller, leaseId: string): Answer<readonly Receipt[]>;
}

export function createLogVerbs(broker: Broker, isPublic: boolean): LogVerbs {
  const { database } = broker;
  return {
    isPublic,
    async checkpoint() {
      const head = await readLogHead(database);
      return head === null ? null : newestNote(head);
    },
    keys: () => logKeys(database),
    tile: (caller, tile) => readTile(broker, isPublic, caller, tile),
    receipts: (caller, leaseId) => receipts(broker, caller, leaseId),
  };
}

/** The note that witnesses signed, when it is of the same tree. */
function newestNote({ checkpoint, witnessed, size }: LogHead): string | null {
  const cosigned = witnessed === null ? null : parseCheckpoint(witnessed);
  return cosigned?.ok && cosigned.value.size === size ? witnessed : checkpoint;
}

async function readTile(
  broker: Broker,
  isPublic: boolean,
  caller: Caller | null,
  tile: Tile,
): Answer<Uint8Array> {
  if (!isPublic) {
    const permission = await permitTile(broker, caller, tile);
    if (!permission.ok) return permission;
  }
  const head = await readLogHead(broker.database);
  const start = tile.n * TILE_WIDTH;
  const missing = head === null || widthIn(head.size, tile.level, tile.n) < tile.width;
  if (missing || (tile.level === 'entries' && start + TILE_WIDTH <= head.minimumIndex)) return noSuchTile();
  if (tile.level === 'entries')
    return ok(encodeBundle(await logEntries(broker.database, start, start + tile.width)));
  const [stored] = await readTiles(broker.database, [{ level: tile.level, n: tile.n }]);
  // A tile at the edge grows; what it was at an earlier size is its beginning.
  return stored === undefined ? noSuchTile() : ok(stored.hashes.subarray(0, tile.width * HASH_BYTES));
}

/** Entries disclose, and reading them is logged; hashes say nothing of what was hashed. */
async function permitTile(broker: Broker, caller: Caller | null, { level, n, width }: Tile) {
  const request = 'read-log';
  if (caller === null)
    return refuse(broker, null, {}, request, { reason: 'unauthenticated', detail: 'The log is not public' });
  if (level === 'entries')
    return authorize(broker, caller, ['operator', 'auditor'], 'log', {
      from: n * TILE_WIDTH,
      entries: width,
    });
  if (caller.kind === 'principal' && (caller.roles.has('operator') || caller.roles.has('auditor')))
    return disclose(broker, caller, 'log', null);
  return refuse(broker, caller, {}, request, {
    reason: 'not-allowed',
    detail: 'It takes the role operator or auditor',
  });
}

function noSuchTile(): Result<never, Refusal> {
  return {
    ok: false,
    error: { reason: 'not-found', detail: 'The log has no such tile, or it is archived' },
  };
}

async function receipts(broker: Broker, caller: Caller, leaseId: string): Answer<readonly Receipt[]> {
  const lease = await readLease(broker, caller, leaseId);
  if (!lease.ok) return lease;
  const head = await readLogHead(broker.database);
  if (head?.checkpoint == null) return ok([]);
  const { witnessed, checkpoint } = head;
  const entries = await leaseEntries(broker.database, leaseId);
  const cosigned = witnessed === null ? null : parseCheckpoint(witnessed);
  const made: Receipt[] = [];
  for (const { index, kind, body } of entries) {
    // A note that others vouch for says more, where it reaches as far.
    const [note, size] =
      cosigned?.ok && index < cosigned.value.size
        ? [cosigned.value.text, cosigned.value.size]
        : [checkpoint, head.size];
    if (index >= size) continue;
    const path = await inclusionPath(broker, index, size);
    made.push({ kind, index, proof: proofText({ index, path, checkpoint: note, extra: Buffer.from(body) }) });
  }
  return ok(made);
}

/** The hashes that prove an entry to be in the tree of a size. */
export async function inclusionPath(
  broker: Pick<Broker, 'database'>,
  index: number,
  size: number,
): Promise<Uint8Array[]> {
  const ranges = inclusionRanges(index, size);
  const tiles = await readTiles(broker.database, tilesFor(ranges, size));
  const stored = new Map(tiles.map(({ level, n, hashes }) => [`${level}/${n}`, hashes]));
  return ranges.map((range) => rangeHash(range, (level, n) => stored.get(`${level}/${n}`)));
}
