import { readFile } from 'node:fs/promises';
import { parseCheckpoint } from '../../audit/checkpoint.ts';
import { parseVerifierKey, type VerifierKey } from '../../audit/note.ts';
import { parseProof, verifyProof } from '../../audit/proof.ts';
import { type LogSource, type Verified, verifyLog } from '../../audit/verify.ts';
import { createLogReader, type LogReader } from '../../client/log.ts';
import { type ConnectionOptions, fetchOf, identityToken, urlOf } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { type Memory, recall, remember } from '../log/memory.ts';
import { exportSource, folderSource, kindOfPath, liveSource, text } from '../log/sources.ts';
import { printJson, say } from '../output.ts';
import { signedInAs } from '../sign-in/saved.ts';

export interface VerifyOptions extends ConnectionOptions {
  /** Verifier keys, or files with one a line. */
  readonly key?: readonly string[];
  /** A signed checkpoint, for an export. */
  readonly checkpoint?: string;
  /** A folder with entries that the log serves no more. */
  readonly archive?: string;
  /** Look, and remember nothing. */
  readonly forget?: true;
}

/** Verifies a live log, a copy in a folder, an export, or a receipt. Fails when anything is not as it should be. */
export async function verify(io: Io, options: VerifyOptions, source?: string): Promise<number> {
  const kind = source === undefined || /^https?:\/\//.test(source) ? 'live' : await kindOfPath(source);
  if (kind === 'receipt') return verifyReceipt(io, options, source ?? '');
  const reader =
    kind === 'live' || (kind === 'export' && !options.checkpoint)
      ? readerOf(io, options, kind, source)
      : null;
  const log = sourceOf(kind, source ?? '', reader, options);
  const note = await log.checkpoint();
  const read = parseCheckpoint(note);
  const memory = read.ok ? recall(io, read.value.origin) : { keys: [], checkpoints: [] };
  const trusted = await trustedKeys(io, options, memory, reader);
  const bar = progressBar(io, options);
  const verified = await verifyLog(
    // What is verified is what was looked up: the log grows meanwhile.
    { hasHashes: log.hasHashes, checkpoint: async () => note, tile: (tile) => log.tile(tile) },
    {
      trusted,
      seen: memory.checkpoints.map(({ size, root }) => ({ size, root: Buffer.from(root, 'base64') })),
      onProgress: bar.draw,
    },
  );
  bar.clear();
  if (verified.findings.length === 0 && verified.checkpoint !== null && !options.forget)
    remember(
      io,
      memory,
      verified.checkpoint,
      [...trusted, ...verified.announced, ...verified.signedBy].map((key) => key.text),
    );
  report(io, options, verified, memory);
  return verified.findings.length === 0 ? EXIT.done : EXIT.failed;
}

function readerOf(io: Io, options: VerifyOptions, kind: string, source: string | undefined): LogReader {
  const url =
    kind === 'live' && source !== undefined ? source.replace(/\/audit\/log\/?$/, '') : urlOf(io, options);
  const hasToken =
    options.tokenFile ??
    options.tokenCommand ??
    io.env.HALLPASS_TOKEN_FILE ??
    io.env.HALLPASS_TOKEN ??
    (kind === 'live' ? null : signedInAs(io, url));
  return createLogReader({
    url,
    token: hasToken ? identityToken(io, options) : null,
    fetch: fetchOf(io),
    sleep: io.runtime.sleep,
    ...(options.insecureHttp ? { allowInsecureHttp: true } : {}),
  });
}

function sourceOf(
  kind: 'live' | 'folder' | 'export',
  path: string,
  reader: LogReader | null,
  { archive, checkpoint }: VerifyOptions,
): LogSource {
  if (kind === 'folder') return folderSource(path);
  const older = archive === undefined ? null : folderSource(archive);
  if (kind === 'live' && reader !== null) return liveSource(reader, older);
  return exportSource(path, async () =>
    checkpoint === undefined
      ? text((await reader?.read('checkpoint')) ?? null, 'The log has no checkpoint yet')
      : readFile(checkpoint, 'utf8'),
  );
}

/** Given keys, else those that are remembered, else, at the first look at a log, those that it names itself. */
async function trustedKeys(
  io: Io,
  options: VerifyOptions,
  memory: Memory,
  reader: LogReader | null,
): Promise<VerifierKey[]> {
  if (options.key) return givenKeys(options.key);
  if (memory.keys.length > 0) return memory.keys.map(mustParse);
  if (reader === null)
    throw new UsageError(
      'Cannot tell whose signature to trust: give --key, as the log names it at /audit/log/keys',
    );
  const lines = text(await reader.read('keys'), 'The log names no keys')
    .split('\n')
    .filter(Boolean);
  say(
    io,
    'This log is seen for the first time: its own word is taken for its keys, compare them with its operator',
  );
  for (const line of lines) say(io, `  ${line}`);
  return lines.map(mustParse);
}

export async function givenKeys(given: readonly string[]): Promise<VerifierKey[]> {
  const texts = await Promise.all(
    given.map(async (one) =>
      parseVerifierKey(one) ? one : (await readFile(one, 'utf8').catch(() => one)).trim(),
    ),
  );
  return texts.flatMap((all) => all.split('\n').filter(Boolean)).map(mustParse);
}

function mustParse(line: string): VerifierKey {
  const key = parseVerifierKey(line);
  if (key === null)
    throw new UsageError(`Cannot read ${JSON.stringify(line)} as a key: write name+id+base64`);
  return key;
}

async function verifyReceipt(io: Io, options: VerifyOptions, path: string): Promise<number> {
  const proof = parseProof(await readFile(path, 'utf8'));
  if (!proof.ok) {
    say(io, `NOT VERIFIED: ${proof.error}`);
    return EXIT.failed;
  }
  const { origin, size } = proof.value.checkpoint;
  const keys = options.key ? await givenKeys(options.key) : recall(io, origin).keys.map(mustParse);
  if (keys.length === 0)
    throw new UsageError('Cannot tell whose signature to trust: give --key, or verify the log itself once');
  const entry = verifyProof(proof.value, keys);
  if (!entry.ok) {
    say(io, `NOT VERIFIED: ${entry.error}`);
    return EXIT.failed;
  }
  say(io, `Verified: entry ${proof.value.index} of ${size} of ${origin}`);
  printJson(io, JSON.parse(Buffer.from(entry.value).toString()));
  return EXIT.done;
}

function report(io: Io, options: VerifyOptions, verified: Verified, memory: Memory): void {
  const { checkpoint, findings, unread, signedBy } = verified;
  if (options.json) {
    printJson(io, {
      verified: findings.length === 0,
      origin: checkpoint?.origin ?? null,
      size: checkpoint?.size ?? null,
      root: checkpoint === null ? null : Buffer.from(checkpoint.root).toString('base64'),
      signed_by: signedBy.map(({ text: key }) => key),
      unread,
      findings,
    });
    return;
  }
  for (const { index, what } of findings)
    io.err(index === null ? `  ${what}\n` : `  entry ${index}: ${what}\n`);
  if (findings.length > 0) {
    const first = findings.find(({ index }) => index !== null);
    say(io, `NOT VERIFIED${first === undefined ? '' : `: the first bad entry is ${first.index}`}`);
    return;
  }
  const earlier = memory.checkpoints.length;
  say(
    io,
    `Verified: ${checkpoint?.size} entries of ${checkpoint?.origin}, ${unread === 0 ? 'all read' : `${unread} of them by their hashes alone`}; it goes on from ${earlier === 1 ? 'the 1 tree' : `all ${earlier} trees`} seen before`,
  );
}

/** A bar on a terminal, and nothing elsewhere. */
function progressBar(io: Io, { json }: VerifyOptions) {
  const shown = io.stderrIsTty === true && json !== true;
  let drawn = '';
  return {
    draw(done: number, all: number): void {
      const filled = Math.round((40 * done) / all);
      const bar = `${'#'.repeat(filled)}${'.'.repeat(40 - filled)}`;
      const line = `[${bar}] ${Math.floor((100 * done) / all)} % of ${all}`;
      if (!shown || line === drawn) return;
      drawn = line;
      io.err(`\r${line}`);
    },
    clear: () => void (drawn !== '' && io.err(`\r${' '.repeat(drawn.length)}\r`)),
  };
}
