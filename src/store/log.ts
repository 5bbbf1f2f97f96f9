import type { NewEvent } from '../audit/event.ts';
import type { TileContent } from '../audit/tile.ts';
import { EMPTY_ROOT, type Hash } from '../audit/tree.ts';
import { instant } from '../instant.ts';
import type { Runtime } from '../runtime.ts';
import type { Database } from './database.ts';
import { APPEND, CLAIM_LOG, ENTRIES, LEASE_ENTRIES, OPEN_LOG, PENDING, READ_HEAD, TILES } from './log.sql.ts';
import { logWhere, recordOf } from './logged.ts';

/** The log's head as it is stored. */
export interface LogHead extends LogClaim {
  readonly origin: string;
  /** The latest note that witnesses cosigned. */
  readonly witnessed: string | null;
  /** Entries below are archived. */
  readonly minimumIndex: number;
  /** Whether committed events wait for their indexes. */
  readonly waiting: boolean;
}

/** The tree that somebody with the right to grow it goes on from, and that right: it is his as long as nobody counts the fence up. */
export interface LogClaim {
  readonly size: number;
  readonly root: Hash;
  /** The signed note of this size; null before the first. */
  readonly checkpoint: string | null;
  readonly fence: string;
}

/** Makes the log with this name, unless there is one; answers its name, which stays for good. */
export async function openLog(database: Database, origin: string): Promise<string> {
  await database.query(OPEN_LOG, [origin, base64(EMPTY_ROOT)]);
  const head = await readLogHead(database);
  return head?.origin ?? origin;
}

/** Null before the first start of a sequencer. */
export async function readLogHead(database: Database): Promise<LogHead | null> {
  const [row] = await database.query<Record<'size' | 'root' | 'minimumIndex', string> & LogHead>(
    READ_HEAD,
    [],
  );
  if (row === undefined) return null;
  const { origin, checkpoint, witnessed, waiting, fence } = row;
  const size = Number(row.size);
  return {
    origin,
    size,
    root: bytes(row.root),
    checkpoint,
    witnessed,
    minimumIndex: Number(row.minimumIndex),
    waiting,
    fence,
  };
}

/** A holder whose claim reaches further ahead than this many times its length set it by a clock that was wrong. */
const ABSURDLY_LONG = 10;

/** Takes or keeps the right to grow the log for `holder`; null while another holds it. Instants are milliseconds since the epoch. */
export async function claimLog(
  database: Database,
  holder: string,
  now: number,
  forMs: number,
): Promise<LogClaim | null> {
  const [row] = await database.query<{
    size: string;
    root: string;
    checkpoint: string | null;
    fence: string;
  }>(CLAIM_LOG, [holder, instant(now), instant(now + forMs), instant(now + ABSURDLY_LONG * forMs)]);
  if (row === undefined) return null;
  return { size: Number(row.size), root: bytes(row.root), checkpoint: row.checkpoint, fence: row.fence };
}

/** Gives the right to grow the log back, where `holder` has it. */
export async function releaseLog(database: Database, holder: string): Promise<void> {
  await database.query(
    {
      name: 'release_log',
      text: 'update log_head set holder = null, held_until = null, fence = fence + 1 where holder = $1',
    },
    [holder],
  );
}

/** An event that waits for its index. */
export interface PendingEvent {
  /** The group that it was committed with. */
  readonly group: string;
  readonly seq: string;
  readonly at: string;
  /** Null when the row is gone, which nobody may do. */
  readonly body: string | null;
}

/** The events of at most `groups` commits that wait, in the order of their indexes to be. */
export async function pendingEvents(database: Database, groups: number): Promise<PendingEvent[]> {
  const rows = await database.query<{ id: string; at: unknown; seq: string; body: string | null }>(PENDING, [
    groups,
  ]);
  return rows.map(({ id, at, seq, body }) => ({
    group: id,
    seq,
    at: new Date(at as string).toISOString(),
    body,
  }));
}

/** Those of the wanted tiles that there are, each as wide as it is stored. */
export async function readTiles(
  database: Database,
  wanted: readonly { readonly level: number; readonly n: number }[],
): Promise<TileContent[]> {
  if (wanted.length === 0) return [];
  const rows = await database.query<{ level: number; n: string; hashes: string }>(TILES, [
    wanted.map(({ level }) => level),
    wanted.map(({ n }) => n),
  ]);
  return rows.map(({ level, n, hashes }) => ({ level, n: Number(n), hashes: bytes(hashes) }));
}

export interface Append {
  readonly claim: LogClaim;
  readonly size: number;
  readonly root: Hash;
  readonly checkpoint: string;
  /** Milliseconds since the epoch. */
  readonly heldUntil: number;
  readonly events: readonly PendingEvent[];
  readonly tiles: readonly TileContent[];
}

/** Grows the log by a batch, in one transaction; false when the claim is another's by now, and nothing was changed. */
export async function appendToLog(database: Database, append: Append): Promise<boolean> {
  const { claim, events, tiles } = append;
  const rows = await database.query(APPEND, [
    claim.fence,
    claim.size,
    append.size,
    base64(append.root),
    append.checkpoint,
    instant(append.heldUntil),
    [...new Set(events.map(({ group }) => group))],
    events.map(({ seq }) => seq),
    events.map(({ at }) => at),
    tiles.map(({ level }) => level),
    tiles.map(({ n }) => n),
    tiles.map(({ hashes }) => base64(hashes)),
  ]);
  return rows.length > 0;
}

/** The entries from `start` up to, not with, `end`. Empty where the event is gone: its hash then tells. */
export async function logEntries(database: Database, start: number, end: number): Promise<Uint8Array[]> {
  const rows = await database.query<{ index: string; body: string | null }>(ENTRIES, [start, end]);
  const bodies = new Map(rows.map(({ index, body }) => [Number(index), body]));
  return Array.from({ length: end - start }, (_, i) => Buffer.from(bodies.get(start + i) ?? ''));
}

export interface LeaseEntry {
  readonly index: number;
  readonly kind: string;
  readonly body: string;
}

/** What the log says of a lease, as far as it is sequenced. */
export async function leaseEntries(database: Database, leaseId: string): Promise<LeaseEntry[]> {
  const rows = await database.query<{ index: string; kind: string; body: string }>(LEASE_ENTRIES, [leaseId]);
  return rows.map((row) => ({ ...row, index: Number(row.index) }));
}

/** Remembers a key that signs for the log, with the event that says so; nothing happens when it is known. */
export async function addLogKey(
  database: Database,
  runtime: Runtime,
  data: { readonly key: string; readonly introduction?: string },
): Promise<void> {
  const event: NewEvent = { kind: 'log.key-added', actor: { kind: 'system' }, about: {}, data };
  await database.query(
    {
      name: 'add_log_key',
      text: `
        with added as (
          insert into log_key (key, added_at) values ($1, $3) on conflict do nothing returning key),
        ${logWhere('added')}
        select from added`,
    },
    [data.key, recordOf(runtime, event), instant(runtime.now())],
  );
}

/** Every key that ever signed, the newest last. */
export async function logKeys(database: Database): Promise<string[]> {
  const rows = await database.query<{ key: string }>(
    { name: 'log_keys', text: 'select key from log_key order by added_at, key' },
    [],
  );
  return rows.map(({ key }) => key);
}

/** Keeps a checkpoint that witnesses cosigned. */
export async function storeWitnessed(database: Database, note: string): Promise<void> {
  await database.query({ name: 'store_witnessed', text: 'update log_head set witnessed = $1' }, [note]);
}

/** Makes the partition of the month that holds an instant. Fails when events of it lie in the default partition. */
export async function makePartition(database: Database, at: number): Promise<void> {
  await database.query({ name: 'make_partition', text: 'select audit_event_month($1)' }, [instant(at)]);
}

function base64(data: Uint8Array): string {
  return Buffer.from(data).toString('base64');
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'base64');
}
