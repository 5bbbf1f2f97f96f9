import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Runtime } from '../../runtime.ts';

/** One process at a time does `work` for this path; the others wait for it. A process that died holds nothing. */
export async function withLock<T>(runtime: Runtime, path: string, work: () => Promise<T>): Promise<T> {
  while (!take(path)) {
    breakAbandoned(path);
    await runtime.sleep(WAIT_MS);
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

const WAIT_MS = 30;

function take(path: string): boolean {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Moves a dead process's lock out of the way. What was moved by mistake, because it was taken anew meanwhile, goes back. */
function breakAbandoned(path: string): void {
  const pid = ownerOf(path);
  if (pid === null || isAlive(pid)) return;
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const moved = ownerOf(aside);
  if (moved !== null && moved !== pid && isAlive(moved)) renameSync(aside, path);
  else rmSync(aside, { force: true });
}

/** Null when it is gone, or not written yet. */
function ownerOf(path: string): number | null {
  try {
    const pid = Number(readFileSync(path, 'utf8'));
    return Number.isInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
