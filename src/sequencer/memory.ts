import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Hash } from '../audit/tree.ts';
import { HallpassError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import { REMEMBER_EVERY_MS } from './limits.ts';

/** The file in the state directory that remembers the log. */
export const LOG_MEMORY_FILE = 'audit-log.seen.json';

/** A tree that the log had. */
export interface SeenTree {
  readonly size: number;
  readonly root: Hash;
}

/**
 * The furthest that this broker has seen the log, outside of the store: whoever puts the store back to an earlier state
 * does not put this back.
 */
export interface LogMemory {
  readonly seen: SeenTree | null;
  /** Remembers a tree that was found to continue the one before, if it is larger. On disk within a second, where each look calls it. */
  see(tree: SeenTree): void;
  /** Puts on disk what is not there yet. */
  keep(): void;
}

/** A memory that ends with the process. */
export function passingMemory(): LogMemory {
  let seen: SeenTree | null = null;
  return {
    get seen() {
      return seen;
    },
    see(tree) {
      if (isLarger(tree, seen)) seen = tree;
    },
    keep() {},
  };
}

function isLarger(tree: SeenTree, seen: SeenTree | null): boolean {
  return seen === null || tree.size > seen.size;
}

const stored = z.strictObject({
  origin: z.string(),
  size: z.int().min(0),
  root: z.base64().length(44),
});

/** What a state directory remembers, of whichever log. What cannot be read is no reason to trust the store: it is refused. */
export function readLogMemory(stateDirectory: string): (SeenTree & { readonly origin: string }) | null {
  return read(join(stateDirectory, LOG_MEMORY_FILE));
}

/** The memory of one log in a state directory. What it remembers of another is not used, and is replaced. */
export function openLogMemory(stateDirectory: string, origin: string, runtime: Runtime): LogMemory {
  const path = join(stateDirectory, LOG_MEMORY_FILE);
  const remembered = read(path);
  let seen: SeenTree | null = remembered?.origin === origin ? remembered : null;
  let kept = seen;
  let keptAt = Number.NEGATIVE_INFINITY;

  function keep(): void {
    if (seen === null || seen === kept) return;
    write(path, origin, seen);
    kept = seen;
    keptAt = runtime.now();
  }

  return {
    get seen() {
      return seen;
    },
    see(tree) {
      if (isLarger(tree, seen)) seen = tree;
      if (Math.abs(runtime.now() - keptAt) >= REMEMBER_EVERY_MS) keep();
    },
    keep,
  };
}

function read(path: string): (SeenTree & { readonly origin: string }) | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw unreadable(path, error);
  }
  try {
    const memory = stored.parse(JSON.parse(text));
    return { ...memory, root: Buffer.from(memory.root, 'base64') };
  } catch (error) {
    throw unreadable(path, error);
  }
}

function write(path: string, origin: string, { size, root }: SeenTree): void {
  const half = `${path}.${process.pid}`;
  const memory = { origin, size, root: Buffer.from(root).toString('base64') };
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(half, `${JSON.stringify(memory)}\n`, { mode: 0o600 });
    renameSync(half, path);
  } catch (error) {
    throw new HallpassError(
      'config-invalid',
      `Cannot remember the audit log in "${path}": writing fails with ${(error as NodeJS.ErrnoException).code}; let the broker write in broker.state_directory`,
      { cause: error },
    );
  }
}

function unreadable(path: string, cause: unknown): HallpassError {
  return new HallpassError(
    'config-invalid',
    `Cannot read what is remembered of the audit log in "${path}": mend it, or remove it if you know the store to be whole`,
    { cause },
  );
}
