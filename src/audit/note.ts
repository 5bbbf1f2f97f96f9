import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { err, ok, type Result } from '../result.ts';

/** Signed notes (https://c2sp.org/signed-note), and the cosignatures of witnesses (https://c2sp.org/tlog-cosignature). */

/** How a key signs: plain Ed25519 over the text, or as a witness, with the instant. */
const PLAIN = 0x01;
const COSIGNATURE = 0x04;

/** Signatures that a note may have: the format asks for 16 at least. */
const MAX_SIGNATURES = 100;
/** Characters of a note: a checkpoint is some hundred bytes. */
const MAX_NOTE_CHARACTERS = 65_536;

/** A public key under a name. Name and id together say which key signed, and how. */
export interface VerifierKey {
  readonly name: string;
  readonly id: string;
  readonly kind: 'plain' | 'cosignature';
  readonly publicKey: KeyObject;
  /** `name+id+base64`, as keys are handed to people. */
  readonly text: string;
}

/** A private key under a name. */
export interface SignerKey {
  readonly verifier: VerifierKey;
  readonly privateKey: KeyObject;
}

/** Names are without spaces and plus signs, so that they stand alone in a line. */
const NAME = /^[^\s+\p{Cc}]{1,1000}$/u;

/** The verifier key of an Ed25519 public key under a name. */
export function verifierKey(
  name: string,
  publicKey: KeyObject,
  kind: VerifierKey['kind'] = 'plain',
): VerifierKey {
  if (!NAME.test(name)) throw new RangeError(`A key cannot be named ${JSON.stringify(name)}`);
  const { crv, x = '' } = publicKey.export({ format: 'jwk' });
  if (crv !== 'Ed25519') throw new RangeError('A note is signed with an Ed25519 key');
  const typed = Buffer.concat([
    Uint8Array.of(kind === 'plain' ? PLAIN : COSIGNATURE),
    Buffer.from(x, 'base64url'),
  ]);
  const id = createHash('sha256').update(`${name}\n`).update(typed).digest('hex').slice(0, 8);
  return { name, id, kind, publicKey, text: `${name}+${id}+${typed.toString('base64')}` };
}

export function signerKey(name: string, privateKey: KeyObject): SignerKey {
  return { verifier: verifierKey(name, createPublicKey(privateKey)), privateKey };
}

/** Reads `name+id+base64`; null when it is not that, or is of a kind that is not ours. */
export function parseVerifierKey(text: string): VerifierKey | null {
  const [, name = '', id = '', encoded = ''] =
    /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text) ?? [];
  const typed = Buffer.from(encoded, 'base64');
  const kind = typed[0] === PLAIN ? 'plain' : typed[0] === COSIGNATURE ? 'cosignature' : null;
  if (!NAME.test(name) || kind === null || typed.length !== 33) return null;
  const x = typed.subarray(1).toString('base64url');
  const key = verifierKey(
    name,
    createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }),
    kind,
  );
  return key.id === id && key.text === text ? key : null;
}

/** The note: the text, which ends with a newline, and a line for each signer. */
export function signNote(text: string, signers: readonly SignerKey[]): string {
  return `${text}\n${signers.map((signer) => signatureLine(text, signer)).join('')}`;
}

function signatureLine(text: string, { verifier, privateKey }: SignerKey): string {
  const signature = sign(null, Buffer.from(text), privateKey);
  return lineOf(verifier, signature);
}

/** A witness's line for a text, at an instant in seconds since the epoch. */
export function cosign(text: string, name: string, privateKey: KeyObject, timestamp: number): string {
  const verifier = verifierKey(name, createPublicKey(privateKey), 'cosignature');
  const stamp = Buffer.alloc(8);
  stamp.writeBigUInt64BE(BigInt(timestamp));
  const signature = sign(null, cosignedMessage(text, timestamp), privateKey);
  return lineOf(verifier, Buffer.concat([stamp, signature]));
}

function lineOf({ name, id }: VerifierKey, signature: Uint8Array): string {
  return `\u2014 ${name} ${Buffer.concat([Buffer.from(id, 'hex'), signature]).toString('base64')}\n`;
}

function cosignedMessage(text: string, timestamp: number | bigint): Uint8Array {
  return Buffer.from(`cosignature/v1\ntime ${timestamp}\n${text}`);
}

/** A signature as its line states it: not verified. */
export interface SignatureLine {
  readonly name: string;
  readonly id: string;
  readonly signature: Uint8Array;
  /** With its newline. */
  readonly line: string;
}

/** A note, taken apart and not yet verified. */
export interface Note {
  readonly text: string;
  readonly signatures: readonly SignatureLine[];
}

/** Takes a note apart, or says what is wrong with it. */
export function parseNote(note: string): Result<Note, string> {
  if (note.length > MAX_NOTE_CHARACTERS) return err('it is too long');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the format forbids them.
  if (/[\x00-\x09\x0b-\x1f]|\p{Cs}/u.test(note)) return err('it holds characters that a note may not');
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) return err('it has no signatures below a blank line');
  const signatures = parseSignatureLines(note.slice(split + 2));
  if (signatures === null) return err('a signature line of it cannot be read');
  return ok({ text: note.slice(0, split + 1), signatures });
}

/** Signature lines; null when one is none, or when there are none or too many. */
export function parseSignatureLines(text: string): SignatureLine[] | null {
  const lines = text.split(/(?<=\n)/);
  if (lines.length === 0 || lines.length > MAX_SIGNATURES) return null;
  const signatures = lines.map((line) => {
    const [, name = '', encoded = ''] = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})\n$/.exec(line) ?? [];
    const bytes = Buffer.from(encoded, 'base64');
    if (!NAME.test(name) || bytes.length < 5 || bytes.toString('base64') !== encoded) return null;
    return { name, id: bytes.subarray(0, 4).toString('hex'), signature: bytes.subarray(4), line };
  });
  return signatures.every((signature) => signature !== null) ? signatures : null;
}

/** The keys among `keys` that signed the note; a fault when a signature of one of them is not good. */
export function verifiedBy(note: Note, keys: readonly VerifierKey[]): Result<VerifierKey[], string> {
  const signers: VerifierKey[] = [];
  for (const { name, id, signature } of note.signatures) {
    const key = keys.find((known) => known.name === name && known.id === id);
    if (key === undefined) continue;
    if (!isGood(note.text, signature, key)) return err(`the signature of "${name}" is not good`);
    if (!signers.includes(key)) signers.push(key);
  }
  return ok(signers);
}

function isGood(text: string, signature: Uint8Array, { kind, publicKey }: VerifierKey): boolean {
  if (kind === 'plain') return verify(null, Buffer.from(text), publicKey, signature);
  if (signature.length !== 72) return false;
  const timestamp = Buffer.from(signature).readBigUInt64BE();
  return verify(null, cosignedMessage(text, timestamp), publicKey, signature.subarray(8));
}
