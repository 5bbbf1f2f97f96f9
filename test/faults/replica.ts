import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface ReplicaOptions {
  readonly name: string;
  readonly executable: string;
  readonly configuration: string;
  /** For its log and its state. */
  readonly folder: string;
  readonly port: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Flags of Node.js. */
  readonly flags?: readonly string[];
}

/** One broker in a process of its own, which somebody starts again whenever it ends, as an orchestrator would. */
export interface Replica {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** How often it was started. */
  readonly starts: number;
  /** Whether it says that it can serve. False while nobody answers within a second. */
  isReady(): Promise<boolean>;
  ready(): Promise<void>;
  /** SIGKILL. It is started again unless `stop` was called. */
  kill(): Promise<void>;
  /** SIGSTOP: it stands still, with all that it holds. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
  /** SIGTERM for good; resolves when it has gone. */
  stop(): Promise<void>;
  log(): Promise<string>;
}

/** How long a replica may take to become ready on a machine that is busy with other things. */
const READY_TIMEOUT_MS = 60_000;

/** Starts that fail one after the other before nobody waits any more. */
const MAX_STARTS = 100;

/** Between the end of a process and its next start. */
const RESTART_MS = 250;

export async function startReplica(options: ReplicaOptions): Promise<Replica> {
  const { name, port } = options;
  const url = `http://127.0.0.1:${port}`;
  const state = join(options.folder, name);
  await mkdir(state, { recursive: true });
  const logFile = join(options.folder, `${name}.log`);
  let child: ChildProcess;
  let starts = 0;
  let stopping = false;

  async function start(): Promise<void> {
    const log = await open(logFile, 'a');
    const { executable, configuration, flags = [] } = options;
    child = spawn(process.execPath, [...flags, executable, 'serve', '--config', configuration], {
      env: {
        PATH: process.env.PATH ?? '',
        HALLPASS_LISTEN: `127.0.0.1:${port}`,
        HALLPASS_STATE_DIRECTORY: state,
        ...options.env,
      },
      stdio: ['ignore', log.fd, log.fd],
    });
    starts++;
    await log.close();
    child.once('exit', () => {
      if (!stopping) void delay(RESTART_MS).then(() => (stopping ? undefined : start()));
    });
  }

  const isReady = async () => {
    try {
      const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1_000) });
      await answer.body?.cancel();
      return answer.ok;
    } catch {
      return false;
    }
  };
  await start();
  return {
    name,
    url,
    get pid() {
      return child.pid ?? 0;
    },
    get starts() {
      return starts;
    },
    isReady,
    async ready() {
      const deadline = performance.now() + READY_TIMEOUT_MS;
      const before = starts;
      while (!(await isReady())) {
        if (performance.now() > deadline || starts > before + MAX_STARTS)
          throw new Error(`${name} is not ready:\n${(await readFile(logFile, 'utf8')).slice(-4_000)}`);
        await delay(50);
      }
    },
    async kill() {
      await end(child, 'SIGKILL');
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async stop() {
      stopping = true;
      child.kill('SIGCONT');
      const patience = setTimeout(() => child.kill('SIGKILL'), 60_000);
      await end(child, 'SIGTERM');
      clearTimeout(patience);
    },
    log: () => readFile(logFile, 'utf8'),
  };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}
