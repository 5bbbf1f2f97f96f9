import { lstatSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '../failure.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Where our own short-lived files lie: the user's runtime folder, which a reboot empties, else his state. */
export function privateFolder(env: Env, ...names: string[]): string {
  const home = env.HOME ?? homedir();
  const base = env.XDG_RUNTIME_DIR || join(env.XDG_STATE_HOME || join(home, '.local', 'state'));
  let path = join(base, 'hallpass');
  ensurePrivate(path);
  for (const name of names) {
    path = join(path, name);
    ensurePrivate(path);
  }
  return path;
}

/** Makes a folder of mode 0700, or checks that the one that is there is ours and nobody else's. */
export function ensurePrivate(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  const ours = found.isDirectory() && found.uid === (process.getuid?.() ?? found.uid);
  if (!ours || (found.mode & 0o077) !== 0)
    throw new UsageError(
      `Cannot keep secrets in ${JSON.stringify(path)}: it must be a folder of yours with mode 0700, and no link`,
    );
}
