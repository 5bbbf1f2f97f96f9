import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from 'jose';
import { HallpassError } from '../errors.ts';
import { sha256 } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { MASTER_KEY_BYTES, MAX_MASTER_KEYS } from './limits.ts';

/**
 * The keys that encrypt what the store must not hold in clear. The first seals; all of them open, so that a new one can
 * be put in front and the old one taken away once everything is sealed anew.
 */
export interface MasterKeys {
  /** Names the key that seals. It says nothing about the key. */
  readonly currentId: string;
  /** Whether what this key sealed can be opened here. */
  knows(id: string): boolean;
  /** Encrypts (JWE, `dir` with AES-256-GCM). Only who opens it for the same purpose gets it back. */
  seal(purpose: string, secret: Uint8Array): Promise<string>;
  /** Decrypts. Throws `config-invalid` when the key is not in the ring, or the envelope is not whole or for something else. */
  open(purpose: string, envelope: string): Promise<Uint8Array>;
  /** The id of the key that an envelope was sealed under. */
  idOf(envelope: string): string;
}

/** Reads a ring: keys of 32 bytes in base64, separated by white space, the one that seals first. */
export function readMasterKeys(text: string): Result<MasterKeys, string> {
  const written = text.split(/\s+/).filter((word) => word !== '');
  if (written.length === 0) return err('has no key: write 32 random bytes in base64');
  if (written.length > MAX_MASTER_KEYS) return err(`has more than ${MAX_MASTER_KEYS} keys`);
  const keys = new Map<string, Uint8Array>();
  for (const [i, word] of written.entries()) {
    const key = decodeKey(word);
    if (key === null) return err(`cannot use key ${i + 1}: write ${MASTER_KEY_BYTES} random bytes in base64`);
    keys.set(idOfKey(key), key);
  }
  return ok(createMasterKeys(keys));
}

/** A new master key, as a file of them has it. */
export function newMasterKey(randomBytes: (size: number) => Uint8Array): string {
  return Buffer.from(randomBytes(MASTER_KEY_BYTES)).toString('base64');
}

function createMasterKeys(keys: ReadonlyMap<string, Uint8Array>): MasterKeys {
  const [currentId = '', current = new Uint8Array()] = [...keys][0] ?? [];
  return {
    currentId,
    knows: (id) => keys.has(id),
    seal: (purpose, secret) => sealUnder(current, { kid: currentId, purpose }, secret),
    async open(purpose, envelope) {
      const id = idOfEnvelope(envelope);
      const key = keys.get(id);
      if (key === undefined) throw unknownKey(purpose, id);
      return openUnder(key, purpose, envelope);
    },
    idOf: idOfEnvelope,
  };
}

/** One ring of two: the first seals, both open. */
export function joinMasterKeys(first: MasterKeys, second: MasterKeys): MasterKeys {
  return {
    ...first,
    knows: (id) => first.knows(id) || second.knows(id),
    open: (purpose, envelope) => {
      const ring = second.knows(second.idOf(envelope)) ? second : first;
      return ring.open(purpose, envelope);
    },
  };
}

/** An envelope, and in its protected header what names its key. */
export function sealUnder(
  key: Uint8Array,
  header: { readonly kid: string; readonly purpose: string; readonly wrapped?: string },
  secret: Uint8Array,
): Promise<string> {
  return new CompactEncrypt(secret)
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', ...header })
    .encrypt(key);
}

/** Throws `config-invalid` when the envelope was altered, or sealed for another purpose. */
export async function openUnder(key: Uint8Array, purpose: string, envelope: string): Promise<Uint8Array> {
  try {
    const { plaintext, protectedHeader } = await compactDecrypt(envelope, key, {
      keyManagementAlgorithms: ['dir'],
      contentEncryptionAlgorithms: ['A256GCM'],
    });
    if (protectedHeader.purpose === purpose) return plaintext;
  } catch {
    // What jose says of it helps nobody: the envelope is not what was written.
  }
  throw new HallpassError(
    'config-invalid',
    `Cannot open what was sealed for ${purpose}: it was altered, or sealed for something else`,
  );
}

export function unknownKey(purpose: string, id: string): HallpassError {
  return new HallpassError(
    'config-invalid',
    `Cannot open what was sealed for ${purpose}: master key "${id}" is not among those configured, add it`,
  );
}

/** What names the key of an envelope; '' where nothing does. */
export function idOfEnvelope(envelope: string): string {
  return headerOf(envelope, 'kid');
}

/** A text in the protected header of an envelope; '' where there is none. */
export function headerOf(envelope: string, name: 'kid' | 'wrapped'): string {
  try {
    const value: unknown = decodeProtectedHeader(envelope)[name];
    return typeof value === 'string' ? value : '';
  } catch {
    return '';
  }
}

function decodeKey(word: string): Uint8Array | null {
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(word)) return null;
  const key = Buffer.from(word, 'base64');
  return key.length === MASTER_KEY_BYTES ? key : null;
}

/** Of 256 random bits a hash tells nothing. */
function idOfKey(key: Uint8Array): string {
  return sha256(Buffer.concat([Buffer.from('hallpass master key\n'), key])).slice(0, 10);
}
