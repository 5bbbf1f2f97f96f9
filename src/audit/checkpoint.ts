import { err, ok, type Result } from '../result.ts';
import { type Note, parseNote, type VerifierKey, verifiedBy } from './note.ts';
import { HASH_BYTES, type Hash } from './tree.ts';

/** Checkpoints of a log (https://c2sp.org/tlog-checkpoint). */

export interface TreeHead {
  /** The log's name. */
  readonly origin: string;
  readonly size: number;
  readonly root: Hash;
}

/** A tree head that somebody signed. */
export interface Checkpoint extends TreeHead {
  readonly note: Note;
  /** The whole note as it was read. */
  readonly text: string;
}

/** The text of a checkpoint, which is signed as a note. */
export function checkpointText({ origin, size, root }: TreeHead): string {
  return `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`;
}

/** Reads a checkpoint, without verifying its signatures; or says what is wrong with it. */
export function parseCheckpoint(text: string): Result<Checkpoint, string> {
  const note = parseNote(text);
  if (!note.ok) return note;
  const [origin = '', size = '', root = '', ...rest] = note.value.text.split('\n');
  if (origin === '') return err('its first line, the name of the log, is empty');
  if (!/^(0|[1-9]\d{0,15})$/.test(size) || !Number.isSafeInteger(Number(size)))
    return err('its second line is no tree size');
  const hash = Buffer.from(root, 'base64');
  if (hash.length !== HASH_BYTES || hash.toString('base64') !== root)
    return err('its third line is no root hash');
  if (rest.at(-1) !== '' || rest.slice(0, -1).includes('')) return err('it has an empty line in its text');
  return ok({ origin, size: Number(size), root: new Uint8Array(hash), note: note.value, text });
}

/** The keys of the log itself that signed a checkpoint; a fault when none of those that are trusted did. */
export function signersOf(
  { origin, note }: Checkpoint,
  trusted: readonly VerifierKey[],
): Result<VerifierKey[], string> {
  const signers = verifiedBy(
    note,
    trusted.filter(({ kind, name }) => kind === 'plain' && name === origin),
  );
  if (!signers.ok) return signers;
  return signers.value.length > 0 ? signers : err('no key that is trusted for this log signed it');
}
