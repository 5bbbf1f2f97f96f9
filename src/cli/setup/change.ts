import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { ensurePrivate } from '../agent/place.ts';
import { writeSecret } from '../exec/folder.ts';
import { UsageError } from '../failure.ts';

/** One file of a client's configuration, as it is and as it shall be. */
export interface Change {
  readonly path: string;
  /** Null: there is none. */
  readonly before: string | null;
  readonly after: string | null;
  /** Of a new file. */
  readonly mode: number;
}

/** The file as it is. Refuses links and whatever is no plain file: what is written would land somewhere else. */
export function readPlain(path: string): string | null {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return null;
  if (!found.isFile())
    throw new UsageError(
      `Cannot change ${JSON.stringify(path)}: it is a link or no plain file; name the file itself`,
    );
  return readFileSync(path, 'utf8');
}

/** What would change, as people read it: lines that go and lines that come, with a little around them. */
export function describe({ path, before, after }: Change): string {
  const [old, fresh] = [linesOf(before), linesOf(after)];
  let start = 0;
  while (start < old.length && start < fresh.length && old[start] === fresh[start]) start++;
  let end = 0;
  while (end < Math.min(old.length, fresh.length) - start && old.at(-1 - end) === fresh.at(-1 - end)) end++;
  const context = (lines: readonly string[]) => lines.map((line) => ` ${line}`);
  const gone = old.slice(start, old.length - end).map((line) => `-${line}`);
  const come = fresh.slice(start, fresh.length - end).map((line) => `+${line}`);
  const lines = [
    `--- ${before === null ? '/dev/null' : path}`,
    `+++ ${after === null ? '/dev/null' : path}`,
    ...context(old.slice(Math.max(0, start - CONTEXT), start)),
    ...gone,
    ...come,
    ...context(old.slice(old.length - end, old.length - end + CONTEXT)),
  ];
  return `${lines.join('\n')}\n`;
}

const CONTEXT = 3;

function linesOf(text: string | null): string[] {
  return text === null || text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

/** Writes a change in one step, keeping the mode of what was there. */
export function apply({ path, before, after, mode }: Change): void {
  if (readPlain(path) !== before)
    throw new UsageError(`Cannot change ${JSON.stringify(path)}: it was changed meanwhile; look again`);
  if (after === null) {
    rmSync(path);
    return;
  }
  const kept = before === null ? mode : lstatSync(path).mode & 0o777;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeSecret(path, after);
  chmodSync(path, kept);
}

/** What was there before the first set-up of a client, and what we wrote last. */
export interface Journal {
  read(): readonly Change[];
  write(changes: readonly Change[]): void;
  remove(): void;
}

export function openJournal(env: Readonly<Record<string, string | undefined>>, client: string): Journal {
  const folder = join(env.XDG_STATE_HOME || join(env.HOME ?? homedir(), '.local', 'state'), 'hallpass');
  const file = join(folder, `setup-${client}.json`);
  return {
    read: () => (existsSync(file) ? (JSON.parse(readPlain(file) ?? '[]') as Change[]) : []),
    write(changes) {
      ensurePrivate(folder);
      writeSecret(file, `${JSON.stringify(changes, null, 2)}\n`);
    },
    remove: () => rmSync(file, { force: true }),
  };
}

/** The journal after these changes: what was there first stays what is restored. */
export function merged(journal: readonly Change[], changes: readonly Change[]): Change[] {
  const known = new Map(journal.map((change) => [change.path, change]));
  for (const change of changes) {
    const first = known.get(change.path);
    known.set(change.path, first ? { ...change, before: first.before } : change);
  }
  return [...known.values()];
}
