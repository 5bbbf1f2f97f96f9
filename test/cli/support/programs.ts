import { spawn } from 'node:child_process';

/** A program that runs, what it has said so far, and how it ends. */
export interface Running {
  readonly pid: number;
  readonly ended: Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>;
  out(): string;
  err(): string;
  kill(signal: NodeJS.Signals): void;
}

/** Starts `file` with these arguments and more, as often as it is called. */
export function program(file: string, first: readonly string[], env: Readonly<Record<string, string>>) {
  return (args: readonly string[], input?: string): Running => {
    const child = spawn(file, [...first, ...args], { env: { ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (out += chunk));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk));
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
    return {
      pid: child.pid ?? 0,
      ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err }))),
      out: () => out,
      err: () => err,
      kill: (signal) => void child.kill(signal),
    };
  };
}
