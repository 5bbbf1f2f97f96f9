import { closeSync, mkdtempSync, openSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

/** A fresh folder for secrets: mode 0700, and not below the command's own folder, where archives and caches reach. */
export interface SecretFolder {
  readonly path: string;
  /** Mode 0600. Whoever reads while it is replaced sees the old content or the new, whole. */
  write(path: string, content: string): void;
  /** Removes it with all that is in it. Synchronous: it also runs as the process exits. Safe to repeat. */
  remove(): void;
}

export function createSecretFolder(
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): SecretFolder {
  const bases = [env.XDG_RUNTIME_DIR, tmpdir(), '/dev/shm', '/tmp'].filter((base) => base !== undefined);
  const path = makeIn(bases.filter((base) => !isBelow(base, cwd))) ?? makeIn(bases);
  if (path === null) throw new Error(`Cannot make a folder for secrets in any of ${bases.join(', ')}`);
  return { path, write: writeSecret, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Writes a file of mode 0600 in one step; what is at its name is replaced, not followed. */
export function writeSecret(path: string, content: string): void {
  const fresh = `${path}.${process.pid}.new`;
  rmSync(fresh, { force: true });
  const descriptor = openSync(fresh, 'wx', 0o600);
  try {
    writeFileSync(descriptor, content);
    closeSync(descriptor);
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
}

function makeIn(bases: readonly string[]): string | null {
  for (const base of bases) {
    try {
      return mkdtempSync(join(realpathSync(base), 'hallpass-'));
    } catch {
      // Not there, or not ours to write: the next may be.
    }
  }
  return null;
}

function isBelow(base: string, cwd: string): boolean {
  try {
    const path = relative(realpathSync(cwd), realpathSync(base));
    return path === '' || !path.startsWith('..');
  } catch {
    return false;
  }
}
