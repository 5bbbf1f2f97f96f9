import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { encodeBundle, levelWidth, splitHashes, TILE_WIDTH, tilePath, widthIn } from './audit/tile.ts';
import { equalHashes, leafHash } from './audit/tree.ts';
import { readConfig } from './check.ts';
import { EXIT } from './cli/exit-codes.ts';
import type { Config } from './config/config.ts';
import { HallpassError } from './errors.ts';
import { CHANNEL_PREFIX } from './notify/channel.ts';
import { RECEIVER_PREFIX } from './signals/send.ts';
import { dropMonth, sealedMonths } from './store/archive.ts';
import { type Database, openDatabase } from './store/database.ts';
import { logEntries, logKeys, readLogHead, readTiles } from './store/log.ts';
import { sinkPlaces } from './store/sinks.ts';

export interface ArchiveOptions {
  readonly config: string;
  /** Months that ended before this instant are archived. Milliseconds since the epoch. */
  readonly before: number;
  readonly folder: string;
}

/** `hallpass archive`: answers the exit code. It takes the rights of the tables' owner, and the embedded store for itself. */
export async function archiveCommand(options: ArchiveOptions): Promise<number> {
  const config = await readConfig(options.config);
  if (config === null) return EXIT.badConfiguration;
  const database = await openDatabase({
    url: config.database?.url ?? null,
    directory: config.broker.stateDirectory,
  });
  try {
    for (const line of await archiveLog(database, options.before, options.folder, cursorsOf(config)))
      process.stdout.write(`${line}\n`);
    return 0;
  } finally {
    await database.close();
  }
}

/** The names of all whom the configuration has the log sent to. */
function cursorsOf({ audit, notifications, signals }: Config): string[] {
  return [
    ...audit.exports.map(({ name }) => name),
    ...notifications.map(({ name }) => `${CHANNEL_PREFIX}${name}`),
    ...signals.receivers.map(({ name }) => `${RECEIVER_PREFIX}${name}`),
  ];
}

/**
 * Moves whole months of the log into a folder, as bundles of entries with all tiles of hashes and the checkpoint, and
 * then drops them from the store. Their hashes stay, so the tree stays verifiable, with or without the folder. Says
 * what it did. An entry that is not what its hash was made of is never archived, nor one that one of `cursors` has yet
 * to get.
 */
export async function archiveLog(
  database: Database,
  before: number,
  folder: string,
  cursors: readonly string[],
): Promise<string[]> {
  const said: string[] = [];
  for (const month of await sealedMonths(database, before)) {
    const { partition, end } = month;
    const head = await readLogHead(database);
    if (head === null || end === null) throw refused(partition, 'it holds events that have no index yet');
    const minimum = Math.max(head.minimumIndex, Math.ceil(end / TILE_WIDTH) * TILE_WIDTH);
    if (minimum > head.size) throw refused(partition, 'its last bundle is not full yet');
    for (const { name, next } of await sinkPlaces(database))
      if (next < end && cursors.includes(name))
        throw refused(partition, `"${name}" has yet to get entries from ${next} on`);
    for (let n = head.minimumIndex / TILE_WIDTH; n * TILE_WIDTH < minimum; n++)
      await archiveBundle(database, n, folder);
    await archiveTree(database, head.size, folder);
    if (head.checkpoint !== null) await store(join(folder, 'checkpoint'), Buffer.from(head.checkpoint));
    await store(
      join(folder, 'keys'),
      Buffer.from((await logKeys(database)).map((key) => `${key}\n`).join('')),
    );
    // On the disk by now: whoever dies here finds the month still there, and archives it again.
    await dropMonth(database, month, minimum);
    said.push(`${partition}: entries up to ${minimum} lie in ${folder}`);
  }
  return said.length === 0 ? ['No month of the log ended before then'] : said;
}

async function archiveBundle(database: Database, n: number, folder: string): Promise<void> {
  const entries = await logEntries(database, n * TILE_WIDTH, (n + 1) * TILE_WIDTH);
  const [tile] = await readTiles(database, [{ level: 0, n }]);
  const hashes = splitHashes(tile?.hashes ?? new Uint8Array());
  for (const [i, entry] of entries.entries()) {
    const hash = hashes[i];
    if (hash === undefined || !equalHashes(leafHash(entry), hash))
      throw refused(
        `entry ${n * TILE_WIDTH + i}`,
        'it is not what its hash was made of; run "hallpass audit verify"',
      );
  }
  await store(join(folder, tilePath({ level: 'entries', n, width: TILE_WIDTH })), encodeBundle(entries));
}

async function archiveTree(database: Database, size: number, folder: string): Promise<void> {
  for (let level = 0; levelWidth(size, level) > 0; level++) {
    for (let n = 0; widthIn(size, level, n) > 0; n++) {
      const [tile] = await readTiles(database, [{ level, n }]);
      const width = widthIn(size, level, n);
      if (tile !== undefined)
        await store(join(folder, tilePath({ level, n, width })), tile.hashes.subarray(0, width * 32));
    }
  }
}

async function store(path: string, content: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

function refused(what: string, why: string): HallpassError {
  return new HallpassError('store-conflict', `Cannot archive ${what}: ${why}`);
}
