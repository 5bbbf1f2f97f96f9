import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HallpassError } from '../errors.ts';

/**
 * Holds a directory for this process, since the embedded store has no lock of its own and two writers would ruin
 * it. A process that died leaves its number behind; whoever comes next sees that it is gone and takes over.
 * Returns the release. Throws `store-unavailable` when a live process holds it.
 */
export function holdDirectory(directory: string): () => void {
  const path = join(directory, 'lock');
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx', mode: 0o600 });
      return () => unlinkSync(path);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const holder = Number(readFileSync(path, 'utf8'));
    if (holder !== process.pid && isAlive(holder)) {
      throw new HallpassError(
        'store-unavailable',
        `Cannot open the embedded store: process ${holder} holds "${directory}", stop it or set DATABASE_URL to share a Postgres`,
      );
    }
    if (holder === process.pid) {
      throw new HallpassError(
        'store-unavailable',
        `Cannot open the embedded store: "${directory}" is open already`,
      );
    }
    unlinkSync(path);
  }
  throw new HallpassError(
    'store-unavailable',
    `Cannot open the embedded store: "${directory}" is being taken by another process`,
  );
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
