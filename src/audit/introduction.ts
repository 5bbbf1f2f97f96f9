import { parseNote, type SignerKey, signNote, type VerifierKey, verifiedBy } from './note.ts';

/**
 * How keys that sign a log vouch for one that joins them: a signed note that names it. Without it an event would be
 * enough to make verifiers trust a key, and whoever can write in the store can write events. Its second line is no
 * tree size, so that it is never a checkpoint.
 */
export function introduce(key: VerifierKey, by: readonly SignerKey[]): string {
  return signNote(introductionText(key), by);
}

/** Whether the note is one by which a trusted key of the same log vouches for `key`. */
export function isIntroduced(key: VerifierKey, note: string, trusted: readonly VerifierKey[]): boolean {
  const read = parseNote(note);
  if (!read.ok || read.value.text !== introductionText(key)) return false;
  const signers = verifiedBy(
    read.value,
    trusted.filter(({ kind, name }) => kind === 'plain' && name === key.name),
  );
  return signers.ok && signers.value.length > 0;
}

function introductionText({ text }: VerifierKey): string {
  return `hallpass: a key that signs this log\n${text}\n`;
}
