import { lstatSync, readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { HallpassUnreachable } from '../../client/problem.ts';
import type { Credential } from '../../client/task.ts';
import { digestJson, type Json } from '../../json.ts';
import { privateFolder } from '../agent/place.ts';
import { openRequest } from '../commands/open.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { writeSecret } from '../exec/folder.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import type { AskOptions } from '../options.ts';
import { say } from '../output.ts';
import { signedInAs } from '../sign-in/saved.ts';
import { withLock } from './lock.ts';

/** Where a helper's credential comes from: an agent, or a task that the options describe. */
export type SourceOptions = ConnectionOptions & Partial<AskOptions>;

/**
 * The credentials for a helper, which is called again and again: from the agent where one holds this grant, otherwise
 * from a task that is shared with the calls before, until a quarter of its time is left.
 */
export async function helperCredentials(io: Io, options: SourceOptions): Promise<readonly Credential[]> {
  const held = await fromAgent(io);
  const { grant, task } = options;
  if (held && (grant === undefined || held.some(({ lease }) => lease.grant === grant))) return held;
  if (grant === undefined || task === undefined)
    throw new UsageError('Cannot tell which credential: no agent runs, so give --grant and --task');
  return fromCache(io, options, { ...options, grant, task });
}

const AGENT_TIMEOUT_MS = 30_000;

/** Null: no agent answers. */
async function fromAgent(io: Io): Promise<readonly Credential[] | null> {
  const path = io.env.HALLPASS_AGENT_SOCK || join(privateFolder(io.env), 'agent', 'agent.sock');
  const found = lstatSync(path, { throwIfNoEntry: false });
  // Whoever made the socket gives us secrets to use: it must be ourselves.
  if (!found?.isSocket() || found.uid !== (process.getuid?.() ?? found.uid)) return null;
  const answer = await ask(path);
  if (answer === null) return null;
  const { credentials, error } = JSON.parse(answer) as { credentials?: Credential[]; error?: string };
  if (!credentials) throw new Error(`The agent has no credential: ${error}`);
  return credentials;
}

function ask(socketPath: string): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest(
      { socketPath, path: '/v1/credentials', timeout: AGENT_TIMEOUT_MS },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        answer.once('end', () => resolve(text)).once('error', reject);
      },
    );
    asked.once('timeout', () => asked.destroy(new Error('The agent does not answer')));
    asked.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(null);
      else reject(error);
    });
    asked.end();
  });
}

interface Cached {
  readonly credentials: readonly Credential[];
  /** When it was taken and when it ends, by our clock. Milliseconds since the epoch. */
  readonly takenAt: number;
  readonly endsAt: number;
}

/** A quarter of the lifetime before the end, the next is taken: programs that look ahead find time enough. */
const FRESH = 0.75;

async function fromCache(
  io: Io,
  connection: ConnectionOptions,
  options: AskOptions,
): Promise<readonly Credential[]> {
  const request = openRequest(options);
  const { url = io.env.HALLPASS_URL, tokenFile = io.env.HALLPASS_TOKEN_FILE, tokenCommand } = connection;
  // Somebody else who signs in here gets nothing of whoever did before.
  const person = io.env.HALLPASS_TOKEN || !url ? null : signedInAs(io, url);
  const key = digestJson([url, tokenFile, tokenCommand, request, person].map((part) => part ?? null) as Json);
  const path = join(privateFolder(io.env, 'cache'), `${key}.json`);
  const known = readCache(path);
  if (known && isFresh(io, known)) return known.credentials;
  return withLock(io.runtime, `${path}.lock`, async () => {
    const meanwhile = readCache(path);
    if (meanwhile && isFresh(io, meanwhile)) return meanwhile.credentials;
    try {
      const taken = await take(io, connection, request);
      writeSecret(path, JSON.stringify(taken));
      return taken.credentials;
    } catch (error) {
      if (!(error instanceof HallpassUnreachable) || !meanwhile || meanwhile.endsAt <= io.runtime.now())
        throw error;
      say(io, `${error.message}; the credential at hand goes on until it expires`);
      return meanwhile.credentials;
    }
  });
}

async function take(
  io: Io,
  connection: ConnectionOptions,
  request: ReturnType<typeof openRequest>,
): Promise<Cached> {
  const { task, credentials } = await connect(io, connection).openTask(request);
  const takenAt = io.runtime.now();
  // Nobody beats for it: silence ends it as its expiry does.
  const ends = [...credentials.map(({ lease }) => lease.expires_at), task.heartbeat_due_at].filter(
    (instant) => instant !== null,
  );
  const lifetimeMs = Math.min(...ends.map(Date.parse)) - Date.parse(task.opened_at);
  return { credentials, takenAt, endsAt: takenAt + lifetimeMs };
}

function isFresh(io: Io, { takenAt, endsAt }: Cached): boolean {
  const now = io.runtime.now();
  return now >= takenAt && now < takenAt + (endsAt - takenAt) * FRESH;
}

/** Null when there is none that can be used; a file that is not ours alone is not read. */
function readCache(path: string): Cached | null {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found?.isFile() || (found.mode & 0o077) !== 0) return null;
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Cached;
  } catch {
    return null;
  }
}
