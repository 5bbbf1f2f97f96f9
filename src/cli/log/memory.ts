import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Checkpoint } from '../../audit/checkpoint.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';

/** What a verifier remembers of one log between two looks, in the state directory of its user. */
export interface Memory {
  /** Verifier keys that are trusted for it. */
  readonly keys: readonly string[];
  /** Trees that it had, the oldest first. */
  readonly checkpoints: readonly {
    readonly size: number;
    /** Base64. */
    readonly root: string;
    /** The signed note: with another of the same size it proves a fork. */
    readonly note: string;
    readonly seenAt: string;
  }[];
}

const NOTHING: Memory = { keys: [], checkpoints: [] };

/** Checkpoints that are kept: the first, and the latest. */
const MAX_CHECKPOINTS = 500;

function pathOf(io: Io, origin: string): string {
  const state = io.env.XDG_STATE_HOME || join(io.env.HOME || homedir(), '.local', 'state');
  const name = createHash('sha256').update(origin).digest('hex').slice(0, 32);
  return join(state, 'hallpass', 'logs', `${name}.json`);
}

/** What is remembered of a log. A memory that cannot be read is no reason to trust: it is refused. */
export function recall(io: Io, origin: string): Memory {
  const path = pathOf(io, origin);
  try {
    const memory = JSON.parse(readFileSync(path, 'utf8')) as Memory;
    if (Array.isArray(memory.keys) && Array.isArray(memory.checkpoints)) return memory;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NOTHING;
  }
  throw new UsageError(
    `Cannot read what is remembered of the log in ${JSON.stringify(path)}: mend or remove the file`,
  );
}

/** Remembers the tree of a checkpoint that was found good, and the keys to trust from now on. */
export function remember(
  io: Io,
  memory: Memory,
  { origin, size, root, text }: Checkpoint,
  keys: readonly string[],
): void {
  const path = pathOf(io, origin);
  const known = memory.checkpoints.filter((checkpoint) => checkpoint.size !== size);
  const [first, ...rest] = [
    ...known,
    {
      size,
      root: Buffer.from(root).toString('base64'),
      note: text,
      seenAt: new Date(io.runtime.now()).toISOString(),
    },
  ].sort((a, b) => a.size - b.size);
  const checkpoints = first === undefined ? [] : [first, ...rest.slice(1 - MAX_CHECKPOINTS)];
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
  const half = `${path}.${process.pid}`;
  writeFileSync(half, `${JSON.stringify({ origin, keys: [...new Set(keys)], checkpoints }, null, 2)}\n`, {
    mode: 0o600,
  });
  renameSync(half, path);
}
