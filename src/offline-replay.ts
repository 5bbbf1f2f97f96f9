import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { proofText } from './audit/proof.ts';
import { inclusionPath } from './broker/log.ts';
import { type ConnectionOptions, connect } from './cli/connect.ts';
import { EXIT } from './cli/exit-codes.ts';
import { UsageError } from './cli/failure.ts';
import type { Io } from './cli/io.ts';
import { printJson, say } from './cli/output.ts';
import type { ReplayKitResponse } from './http/contract.ts';
import { readKitFile } from './offline/envelope.ts';
import { placeOf } from './offline-run.ts';
import { type Database, openDatabase } from './store/database.ts';
import { targetsWithLiveLeases } from './store/leases.ts';
import { logEntries, readLogHead } from './store/log.ts';

/** What one request carries: bodies are bounded at 64 KiB. */
const BATCH_CHARACTERS = 40_000;
const BATCH_ENTRIES = 50;

/** `hallpass kit replay`: brings the log of a kit on this machine into the broker's. It takes no codes. Answers the exit code. */
export async function replayCommand(io: Io, options: ConnectionOptions, file: string): Promise<number> {
  const kit = readKitFile(
    await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      throw new UsageError(`Cannot read ${JSON.stringify(file)}: ${error.code}`);
    }),
  );
  if (!kit.ok) throw new UsageError(`Cannot use ${JSON.stringify(file)}: ${kit.error}`);
  const { header } = kit.value;
  const directory = join(placeOf(header), 'store');
  if (!existsSync(directory)) {
    say(
      io,
      `This kit was never opened on this machine: there is nothing in ${JSON.stringify(placeOf(header))}`,
    );
    return EXIT.done;
  }
  const client = connect(io, { ...options, url: options.url ?? io.env.HALLPASS_URL ?? header.url });
  const database = await openDatabase({ url: null, directory });
  try {
    const sum: { replayed: number; known: number; codes_reused: ReplayKitResponse['codes_reused'] } = {
      replayed: 0,
      known: 0,
      codes_reused: [],
    };
    for await (const proofs of batches(database)) {
      const answer = await client.replayKit(header.id, proofs);
      sum.replayed += answer.replayed;
      sum.known += answer.known;
      sum.codes_reused.push(...answer.codes_reused);
    }
    const live = await targetsWithLiveLeases(database);
    const waits = live.length > 0 || (await readLogHead(database))?.waiting === true;
    if (options.json) printJson(io, { ...sum, complete: !waits });
    else say(io, `${sum.replayed} entries are in the log now, ${sum.known} were in it before`);
    for (const { holder } of sum.codes_reused)
      say(io, `ALARM: the code of ${holder} was used twice, on another machine or with older state`);
    if (waits) say(io, 'The last opening was killed: run "hallpass kit finish", and replay again');
    return waits || sum.codes_reused.length > 0 ? EXIT.conflict : EXIT.done;
  } finally {
    await database.close();
  }
}

/** The entries of the log with their proofs, as many at a time as one request carries. */
async function* batches(database: Database): AsyncGenerator<string[]> {
  const head = await readLogHead(database);
  if (head?.checkpoint == null) return;
  const { size, checkpoint } = head;
  let batch: string[] = [];
  let characters = 0;
  for (let index = 0; index < size; index++) {
    const [entry = new Uint8Array()] = await logEntries(database, index, index + 1);
    const path = await inclusionPath({ database }, index, size);
    const proof = proofText({ index, path, checkpoint, extra: entry });
    if (
      batch.length === BATCH_ENTRIES ||
      (batch.length > 0 && characters + proof.length > BATCH_CHARACTERS)
    ) {
      yield batch;
      batch = [];
      characters = 0;
    }
    batch.push(proof);
    characters += proof.length;
  }
  if (batch.length > 0) yield batch;
}
