import { err, ok, type Result } from '../result.ts';
import { type Checkpoint, parseCheckpoint, signersOf } from './checkpoint.ts';
import type { VerifierKey } from './note.ts';
import { HASH_BYTES, type Hash, leafHash, verifyInclusion } from './tree.ts';

/** Proofs that an entry is in a log, to be verified offline (https://c2sp.org/tlog-proof). */

const HEADER = 'c2sp.org/tlog-proof@v1';
/** A tree of 2^53 leaves has paths of 53 hashes. */
const MAX_HASHES = 63;

export interface TlogProof {
  readonly index: number;
  readonly path: readonly Hash[];
  readonly checkpoint: Checkpoint;
  /** What goes with it. Ours is the entry itself, so that one file is all that a verifier needs. */
  readonly extra: Uint8Array | null;
}

export function proofText(proof: {
  readonly index: number;
  readonly path: readonly Hash[];
  readonly checkpoint: string;
  readonly extra: Uint8Array;
}): string {
  const lines = [
    HEADER,
    `extra ${Buffer.from(proof.extra).toString('base64')}`,
    `index ${proof.index}`,
    ...proof.path.map((hash) => Buffer.from(hash).toString('base64')),
  ];
  return `${lines.join('\n')}\n\n${proof.checkpoint}`;
}

/** Reads a proof, without verifying it; or says what is wrong with it. */
export function parseProof(text: string): Result<TlogProof, string> {
  const end = text.indexOf('\n\n');
  if (end < 0) return err('it has no checkpoint below a blank line');
  const checkpoint = parseCheckpoint(text.slice(end + 2));
  if (!checkpoint.ok) return err(`its checkpoint is not one: ${checkpoint.error}`);
  const lines = text.slice(0, end).split('\n');
  if (lines.shift() !== HEADER) return err(`its first line is not ${HEADER}`);
  const encoded = /^extra (.+)$/.exec(lines[0] ?? '')?.[1];
  if (encoded !== undefined) lines.shift();
  const extra = encoded === undefined ? null : fromBase64(encoded);
  if (encoded !== undefined && extra === null) return err('its extra data is not base64');
  const index = Number(/^index (0|[1-9]\d{0,15})$/.exec(lines.shift() ?? '')?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(index)) return err('its index cannot be read');
  const path = lines.map(fromBase64);
  if (path.length > MAX_HASHES) return err('its path is too long');
  if (!path.every((hash) => hash !== null && hash.length === HASH_BYTES))
    return err('a hash of its path cannot be read');
  return ok({ index, path: path as Hash[], checkpoint: checkpoint.value, extra });
}

/** The entry that a proof of ours brings along, when a trusted key of the log vouches for it; otherwise why not. */
export function verifyProof(proof: TlogProof, trusted: readonly VerifierKey[]): Result<Uint8Array, string> {
  const signers = signersOf(proof.checkpoint, trusted);
  if (!signers.ok) return signers;
  if (proof.extra === null) return err('it does not bring its entry along');
  const { size, root } = proof.checkpoint;
  return verifyInclusion(leafHash(proof.extra), proof.index, size, proof.path, root)
    ? ok(proof.extra)
    : err('its entry is not in the tree of its checkpoint');
}

function fromBase64(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? new Uint8Array(bytes) : null;
}
