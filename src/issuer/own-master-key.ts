import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newMasterKey } from './master-keys.ts';

/**
 * The text of the master keys that a broker with the embedded store keeps beside it, made at its first start. Only its
 * owner can read it; whoever copies the whole directory has the keys and what they encrypt.
 */
export function ownMasterKey(
  directory: string,
  randomBytes: (size: number) => Uint8Array,
): { readonly path: string; readonly text: string; readonly made: boolean } {
  const path = pathIn(directory);
  const known = read(path);
  if (known !== null) return { path, text: known, made: false };
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  // Written whole under another name, then given its own: a death in between leaves no half of a key behind.
  const draft = `${path}.${Buffer.from(randomBytes(6)).toString('hex')}`;
  writeFileSync(draft, `${newMasterKey(randomBytes)}\n`, { flag: 'wx', mode: 0o600, flush: true });
  try {
    linkSync(draft, path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    rmSync(draft);
  }
  return { path, text: readFileSync(path, 'utf8'), made: true };
}

/** The same where it was made before; null where it was not. */
export function knownMasterKey(directory: string): string | null {
  return read(pathIn(directory));
}

function pathIn(directory: string): string {
  return join(directory, 'master.key');
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
