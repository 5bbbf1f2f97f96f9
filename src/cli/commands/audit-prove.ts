import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseCheckpoint } from '../../audit/checkpoint.ts';
import { levelWidth, TILE_WIDTH, type Tile, tilePath, widthIn } from '../../audit/tile.ts';
import { createLogReader } from '../../client/log.ts';
import { type ConnectionOptions, connect, fetchOf, identityToken, urlOf } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { text } from '../log/sources.ts';
import { printJson, say } from '../output.ts';

export interface ProveOptions extends ConnectionOptions {
  /** The kind of event to prove. */
  readonly kind: string;
}

/** The log has an event within a second; a few looks wait for that. */
const LOOKS = 10;
const BETWEEN_LOOKS_MS = 300;

/** Prints the receipt of a lease: the proof that the log says it was issued. With --json all of its events. */
export async function prove(io: Io, options: ProveOptions, leaseId: string): Promise<number> {
  const client = connect(io, options);
  for (let look = 1; look <= LOOKS; look++) {
    const receipts = await client.receipts(leaseId);
    if (options.json && receipts.length > 0) {
      printJson(io, { receipts });
      return EXIT.done;
    }
    const receipt = receipts.find(({ kind }) => kind === options.kind);
    if (receipt !== undefined) {
      io.out(receipt.proof);
      return EXIT.done;
    }
    if (look < LOOKS) await io.runtime.sleep(BETWEEN_LOOKS_MS);
  }
  say(io, `The log has no "${options.kind}" of this lease`);
  return EXIT.notFound;
}

export interface CopyOptions extends ConnectionOptions {}

/** Copies the log as it is now into a folder, in the static form of C2SP tlog-tiles: any web server can serve it. */
export async function copy(io: Io, options: CopyOptions, folder: string): Promise<number> {
  const reader = createLogReader({
    url: urlOf(io, options),
    token: identityToken(io, options),
    fetch: fetchOf(io),
    sleep: io.runtime.sleep,
    ...(options.insecureHttp ? { allowInsecureHttp: true } : {}),
  });
  const note = text(await reader.read('checkpoint'), 'The log has no checkpoint yet');
  const checkpoint = parseCheckpoint(note);
  if (!checkpoint.ok)
    throw new UsageError(`Cannot copy the log: its checkpoint cannot be read: ${checkpoint.error}`);
  const { size } = checkpoint.value;
  let missing = 0;
  for (const tile of allTiles(size)) {
    const content = await reader.read(tilePath(tile));
    if (content === null) missing++;
    else await store(join(folder, tilePath(tile)), content);
  }
  const keys = await reader.read('keys');
  if (keys !== null) await store(join(folder, 'keys'), keys);
  // Last, so that a copy that was cut short is none.
  await store(join(folder, 'checkpoint'), Buffer.from(note));
  say(
    io,
    `Copied ${size} entries to ${folder}${missing === 0 ? '' : `; ${missing} tiles are archived and not there`}`,
  );
  return EXIT.done;
}

function* allTiles(size: number): Generator<Tile> {
  for (let n = 0; n * TILE_WIDTH < size; n++)
    yield { level: 'entries', n, width: widthIn(size, 'entries', n) };
  for (let level = 0; levelWidth(size, level) > 0; level++)
    for (let n = 0; widthIn(size, level, n) > 0; n++) yield { level, n, width: widthIn(size, level, n) };
}

async function store(path: string, content: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, content, { mode: 0o600 });
}
