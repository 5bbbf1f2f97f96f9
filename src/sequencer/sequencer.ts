import type { Logger } from 'pino';
import { checkpointText, parseCheckpoint } from '../audit/checkpoint.ts';
import type { NewEvent } from '../audit/event.ts';
import { type SignerKey, signNote, verifiedBy } from '../audit/note.ts';
import { edgeRoot, edgeTiles, growTiles } from '../audit/tile.ts';
import { equalHashes, HASH_BYTES, type Hash, leafHash } from '../audit/tree.ts';
import { HallpassError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import type { Database } from '../store/database.ts';
import {
  appendToLog,
  claimLog,
  type LogClaim,
  type LogHead,
  makePartition,
  type PendingEvent,
  pendingEvents,
  readLogHead,
  readTiles,
  releaseLog,
} from '../store/log.ts';
import { goingBack } from './going-back.ts';
import {
  BACKLOG_PAUSE_MS,
  BATCH_GROUPS,
  CLAIM_MS,
  PARTITION_EVERY_MS,
  PAUSE_MS,
  RETRY_MS,
} from './limits.ts';
import type { LogMemory, SeenTree } from './memory.ts';

export interface SequencerOptions {
  readonly database: Database;
  readonly runtime: Runtime;
  readonly log: Logger;
  /** The log's name, as it was opened. */
  readonly origin: string;
  /** Those that sign each checkpoint, the newest first. */
  readonly signers: readonly SignerKey[];
  /** Names this process among the replicas. */
  readonly holder: string;
  /** What this broker has seen of the log, kept where the store is not. */
  readonly memory: LogMemory;
  /** Writes an event. It waits for its index until the log is whole again. */
  readonly report: (event: NewEvent) => Promise<unknown>;
}

/**
 * Gives committed events their indexes, grows the tree, and signs checkpoints: out of the way of requests, and one
 * replica at a time. Nothing of it lives in memory: whoever holds the claim reads the edge of the tree, appends to it,
 * and writes everything in one transaction that stands or falls with the fence of its claim. So a process that dies
 * anywhere has done all of a batch or nothing of it, and one that is overtaken writes nothing.
 */
export interface Sequencer {
  /** Sequences one batch; answers how many events that were. 0: there are none, or another replica is at it. */
  tick(): Promise<number>;
  /** Why the log is not grown: it went back, or is another than it was. Null while it is as it should be. */
  readonly fault: string | null;
  /** Somebody else says that he has seen more of the log than there is: that is logged. It stops nothing, since he may be wrong. */
  suspect(what: string): Promise<void>;
  /** Goes on until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** Sequences what waits, as a process does that stops. What fails is the next one's. */
  drain(): Promise<void>;
}

export function createSequencer(options: SequencerOptions): Sequencer {
  const { database, runtime, log, holder, memory } = options;
  let fault: string | null = null;
  let isReported = false;
  let partitionedAt = Number.NEGATIVE_INFINITY;
  /** The claim that our last batch was written with, and until when it holds. */
  let held: { readonly fence: string; readonly until: number } | null = null;

  async function tick(): Promise<number> {
    return (await grow()).length;
  }

  /** Sequences one batch; answers its events. */
  async function grow(): Promise<readonly PendingEvent[]> {
    // Taken before the store is read: what is seen while that is under way is no reason to suspect it.
    const before = memory.seen;
    const head = await readLogHead(database);
    if (head === null) return [];
    await look(head, before);
    if (!head.waiting) return [];
    const claim = await claimFrom(head);
    if (claim === null) return [];
    // Read after the claim: whatever an earlier holder wrote is in it, and what he has yet to write will fail.
    const events = await pendingEvents(database, BATCH_GROUPS);
    if (events.length === 0) return [];
    refuseGoingBack(claim, before);
    refuseUnsigned(claim, before, options);
    const edge = await readEdge(claim);
    const size = claim.size + events.length;
    const tiles = growTiles(claim.size, edge, events.map(hashOf));
    for (const { level, hashes } of tiles) edge.set(level, hashes);
    const root = edgeRoot(size, edge);
    // Nobody sees the signature before the commit: a batch that is lost was never promised.
    const checkpoint = signNote(checkpointText({ origin: options.origin, size, root }), options.signers);
    const heldUntil = runtime.now() + CLAIM_MS;
    if (!(await appendToLog(database, { claim, size, root, checkpoint, heldUntil, events, tiles })))
      return [];
    held = { fence: claim.fence, until: heldUntil };
    memory.see({ size, root });
    return events;
  }

  /** The right to grow the log; null while another replica has it. One that our last batch has prolonged need not be taken anew. */
  async function claimFrom(head: LogHead): Promise<LogClaim | null> {
    const now = runtime.now();
    if (held !== null && head.fence === held.fence && now < held.until - CLAIM_MS / 2) return head;
    return claimLog(database, holder, now, CLAIM_MS);
  }

  /** Holds the log against what was seen of it, whoever grew it since, and remembers what continues that and is signed. Throws when nothing does. */
  async function look(head: LogHead, seen: SeenTree | null): Promise<void> {
    if (head.size === seen?.size && equalHashes(head.root, seen.root)) {
      fault = null;
      isReported = false;
      memory.see(seen);
      return;
    }
    fault = await goingBack(database, head, seen);
    if (fault !== null) {
      if (!isReported) await report(fault, head);
      isReported = true;
      throw tampered(fault);
    }
    isReported = false;
    refuseUnsigned(head, seen, options);
    memory.see({ size: head.size, root: head.root });
  }

  /** Says for all to see that the log is not what it was. */
  async function report(what: string, found: SeenTree | null): Promise<void> {
    const { seen } = memory;
    const data = { what, seen: seen && treeData(seen), found: found && treeData(found) };
    log.error(data, 'the audit log is not what it was');
    await options.report({ kind: 'log.went-back', actor: { kind: 'system' }, about: {}, data });
  }

  async function suspect(what: string): Promise<void> {
    await report(what, await readLogHead(database));
  }

  /** The tiles that the tree goes on with, when they give its root. */
  async function readEdge(claim: LogClaim): Promise<Map<number, Uint8Array>> {
    const wanted = new Map(edgeTiles(claim.size).map((tile) => [tile.level, tile]));
    const tiles = await readTiles(database, [...wanted.values()]);
    // A tile that is longer was written by whoever overtook us: then the write to come fails.
    const edge = new Map(
      tiles.map(({ level, hashes }) => [
        level,
        hashes.subarray(0, (wanted.get(level)?.width ?? 0) * HASH_BYTES),
      ]),
    );
    const fault = edgeFault(claim, edge);
    if (fault !== null) throw tampered(fault);
    return edge;
  }

  async function partition(): Promise<void> {
    const now = runtime.now();
    if (Math.abs(now - partitionedAt) < PARTITION_EVERY_MS) return;
    partitionedAt = now;
    await preparePartitions(database, now, log);
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let waitMs = PAUSE_MS;
      try {
        await partition();
        if (isFull(await grow())) waitMs = BACKLOG_PAUSE_MS;
      } catch (error) {
        waitMs = RETRY_MS;
        log.error(
          { err: error },
          'cannot sequence the audit log: its events wait, and it will be tried again',
        );
      }
      await runtime.sleep(waitMs, signal).catch(() => {});
    }
  }

  async function drain(): Promise<void> {
    try {
      while ((await tick()) > 0);
      memory.keep();
      // Whoever comes next need not wait for the claim to run out.
      await releaseLog(database, holder);
    } catch (error) {
      log.warn({ err: error }, 'events of the audit log wait for the next start');
    }
  }

  return {
    tick,
    run,
    drain,
    suspect,
    get fault() {
      return fault;
    },
  };
}

/** Makes the partitions of this month and the next. Without them events are kept in the default one. */
export async function preparePartitions(database: Database, now: number, log: Logger): Promise<void> {
  const date = new Date(now);
  for (const at of [now, Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1)]) {
    try {
      await makePartition(database, at);
    } catch (error) {
      log.warn({ err: error }, 'cannot make a partition of the audit log: its events go to the default one');
    }
  }
}

/** Whether more may wait than came with this batch. */
function isFull(batch: readonly PendingEvent[]): boolean {
  return new Set(batch.map(({ group }) => group)).size === BATCH_GROUPS;
}

function hashOf({ body, seq }: PendingEvent): Hash {
  if (body === null) throw tampered(`event ${seq} was removed before it had its index`);
  return leafHash(Buffer.from(body));
}

/** Why the tiles are not those of the head; null when they are. */
function edgeFault({ size, root }: LogClaim, edge: ReadonlyMap<number, Uint8Array>): string | null {
  try {
    return equalHashes(edgeRoot(size, edge), root) ? null : 'its tiles do not give its root';
  } catch (error) {
    return error instanceof RangeError ? error.message : String(error);
  }
}

/**
 * Throws when the head is none that a key of ours signed. To sign on from whatever the store holds would vouch for it:
 * without this, whoever can write there could put a log of his own in place of the true one. The tree that this broker
 * saw last is taken also with the signature of a key that has gone since.
 */
function refuseUnsigned(claim: LogClaim, seen: SeenTree | null, options: SequencerOptions): void {
  const isSeen = claim.size === seen?.size && equalHashes(claim.root, seen.root);
  const fault = signatureFault(claim, isSeen, options);
  if (fault !== null) throw tampered(fault);
}

/** Why the head is not as it was signed; null when it is. */
function signatureFault(
  { size, root, checkpoint }: LogClaim,
  isSeen: boolean,
  { origin, signers }: SequencerOptions,
): string | null {
  if (checkpoint === null) return size === 0 ? null : 'its checkpoint is missing';
  const signed = parseCheckpoint(checkpoint);
  if (!signed.ok) return `its checkpoint cannot be read: ${signed.error}`;
  if (signed.value.origin !== origin) return 'its checkpoint is of another log';
  if (signed.value.size !== size || !equalHashes(signed.value.root, root))
    return 'its head is not what was signed';
  const ours = verifiedBy(
    signed.value.note,
    signers.map(({ verifier }) => verifier),
  );
  if (!ours.ok) return ours.error;
  return ours.value.length > 0 || isSeen
    ? null
    : 'none of the keys of this broker signed its checkpoint; if its key was changed, put the one before below it in audit.log_key_file';
}

function refuseGoingBack(claim: LogClaim, seen: { readonly size: number; readonly root: Hash } | null): void {
  if (seen === null || claim.size > seen.size) return;
  if (claim.size < seen.size) throw tampered(`it went back from ${seen.size} to ${claim.size} entries`);
  if (!equalHashes(claim.root, seen.root)) throw tampered(`its root at ${seen.size} entries is another`);
}

function treeData({ size, root }: SeenTree) {
  return { size, root: Buffer.from(root).toString('base64') };
}

/** Signing on would hide it, or fork the log: verifiers hold the checkpoints that show which is true. */
function tampered(what: string): HallpassError {
  return new HallpassError(
    'store-conflict',
    `Cannot go on with the audit log: ${what}; somebody changed the store, compare it with a copy by "hallpass audit verify"`,
  );
}
