import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

/** How to start our programs from their sources, on any Node.js that we support. */
export const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
export const MAIN = join(import.meta.dirname, '../../src/main.ts');

const START_TIMEOUT_MS = 60_000;

/** A broker in a process of its own. */
export interface BrokerProcess {
  readonly pid: number;
  /** What it logged so far. */
  log(): string;
  /** SIGKILL: it can tidy nothing. */
  kill(): Promise<void>;
  /** SIGTERM, and waits for it to finish what it serves. */
  stop(): Promise<void>;
}

/** Starts `hallpass serve`; resolves when it is ready, and throws with its log when it ends instead. */
export async function startBroker(configuration: string, url: string): Promise<BrokerProcess> {
  const child = spawn(process.execPath, ['--import', TSX, MAIN, 'serve', '--config', configuration], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stdout.on('data', (chunk: Buffer) => (log += chunk));
  child.stderr.on('data', (chunk: Buffer) => (log += chunk));
  const ended = once(child, 'exit');
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await isReady(url))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`The broker did not come up:\n${log}`);
    }
    await delay(50);
  }
  return {
    pid: child.pid ?? 0,
    log: () => log,
    kill: () => end(child, ended, 'SIGKILL'),
    stop: () => end(child, ended, 'SIGTERM'),
  };
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`)).ok;
  } catch {
    return false;
  }
}

async function end(child: ChildProcess, ended: Promise<unknown>, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await ended;
}
