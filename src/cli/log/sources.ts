import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { encodeBundle, TILE_WIDTH, type Tile, tilePath } from '../../audit/tile.ts';
import type { LogSource } from '../../audit/verify.ts';
import type { LogReader } from '../../client/log.ts';
import { UsageError } from '../failure.ts';

/** A log that a broker, or anybody, serves. `archive` has the entries that it serves no more. */
export function liveSource(reader: LogReader, archive: LogSource | null): LogSource {
  return {
    hasHashes: true,
    checkpoint: async () => text(await reader.read('checkpoint'), 'The log has no checkpoint yet'),
    async tile(tile) {
      return (await reader.read(tilePath(tile))) ?? (await archive?.tile(tile)) ?? null;
    },
  };
}

/** A copy of a log in a folder, as `hallpass audit copy` makes it. */
export function folderSource(folder: string): LogSource {
  return {
    hasHashes: true,
    checkpoint: () => readFile(join(folder, 'checkpoint'), 'utf8'),
    async tile(tile) {
      // A wider tile begins with the narrower one; of a bundle the reader takes what he needs.
      const whole = await fileOrNull(join(folder, tilePath({ ...tile, width: TILE_WIDTH })));
      return (
        (await fileOrNull(join(folder, tilePath(tile)))) ?? (whole === null ? null : prefix(whole, tile))
      );
    },
  };
}

function prefix(whole: Uint8Array, { level, width }: Tile): Uint8Array | null {
  return level === 'entries' ? null : whole.subarray(0, width * 32);
}

async function fileOrNull(path: string): Promise<Uint8Array | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/**
 * An export: a line of JSON for each entry from the first on, with the entry itself as `raw_data`. Read once, in order.
 * The checkpoint comes from elsewhere: from the log itself, or from a file.
 */
export function exportSource(path: string, checkpoint: () => Promise<string>): LogSource {
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })[
    Symbol.asyncIterator
  ]();
  let before: Promise<unknown> = Promise.resolve();
  async function next(width: number): Promise<Uint8Array | null> {
    const entries: Uint8Array[] = [];
    while (entries.length < width) {
      const line = await lines.next();
      if (line.done) break;
      if (line.value !== '') entries.push(Buffer.from(entryOf(line.value)));
    }
    return entries.length === 0 ? null : encodeBundle(entries);
  }
  return {
    hasHashes: false,
    checkpoint,
    tile({ width }) {
      const mine = before.then(() => next(width));
      before = mine;
      return mine;
    },
  };
}

/** What cannot be read is an empty entry: it is then found like any that is wrong. */
function entryOf(line: string): string {
  try {
    const { raw_data: raw } = JSON.parse(line) as { raw_data?: unknown };
    return typeof raw === 'string' ? raw : '';
  } catch {
    return '';
  }
}

/** What a path leads to. */
export async function kindOfPath(path: string): Promise<'folder' | 'receipt' | 'export'> {
  const found = await stat(path).catch(() => null);
  if (found === null)
    throw new UsageError(`Cannot verify ${JSON.stringify(path)}: there is no such file or folder`);
  if (found.isDirectory()) return 'folder';
  const stream = createReadStream(path, { start: 0, end: 30, encoding: 'utf8' });
  let head = '';
  for await (const chunk of stream) head += chunk;
  return head.startsWith('c2sp.org/tlog-proof@v1\n') ? 'receipt' : 'export';
}

export function text(bytes: Uint8Array | null, otherwise: string): string {
  if (bytes === null) throw new UsageError(otherwise);
  return Buffer.from(bytes).toString();
}
