import { closeSync, mkdtempSync, openSync, realpathSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

/** A fresh folder for secrets: mode 0700, and not below the command's own folder, where archives and caches reach. */
export interface SecretFolder {
  readonly path: string;
  /** Mode 0600; never through what is already there. */
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
  return {
    path,
    write(file, content) {
      const descriptor = openSync(file, 'wx', 0o600);
      try {
        writeSync(descriptor, content);
      } finally {
        closeSync(descriptor);
      }
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
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
