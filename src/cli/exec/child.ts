import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';

/** How a command ended: its exit status, or the shell's for a signal or a command that cannot be run. */
export interface ChildEnd {
  readonly status: number;
  /** What the person should know; null: nothing. */
  readonly fault: string | null;
}

const FORWARDED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'];
/** A terminal sends these to the command by itself. */
const FROM_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT']);

/** The signals that arrive from now on, for whoever runs: nobody yet, then the command. */
export interface Signals {
  /** The first that asks to end and came before there was a command. */
  readonly early: NodeJS.Signals | null;
  /** From now on, signals go to the command. */
  forwardTo(child: ChildProcess): void;
  release(): void;
}

export function catchSignals(io: Io): Signals {
  let child: ChildProcess | null = null;
  let early: NodeJS.Signals | null = null;
  const undo = FORWARDED.map((signal) =>
    io.onSignal(signal, () => {
      if (!child) {
        if (!signal.startsWith('SIGUSR')) early ??= signal;
      } else if (!(io.stdinIsTty && FROM_TERMINAL.has(signal))) {
        child.kill(signal);
      }
    }),
  );
  return {
    get early() {
      return early;
    },
    forwardTo(started) {
      child = started;
    },
    release() {
      for (const stop of undo) stop();
    },
  };
}

/** Runs a command with our own input and output, and waits for its end. Never rejects. */
export function runChild(
  command: readonly string[],
  env: Record<string, string | undefined>,
  signals: Signals,
): Promise<ChildEnd> {
  const [file = '', ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: 'inherit', env });
    signals.forwardTo(child);
    child.once('error', (error: NodeJS.ErrnoException) => {
      const status = error.code === 'ENOENT' ? EXIT.noSuchCommand : EXIT.cannotRun;
      resolve({ status, fault: `Cannot run ${JSON.stringify(file)}: ${error.code ?? error.message}` });
    });
    child.once('exit', (code, signal) => resolve({ status: code ?? signalStatus(signal), fault: null }));
  });
}

export function signalStatus(signal: NodeJS.Signals | null): number {
  return EXIT.signalled + (signal === null ? 0 : constants.signals[signal]);
}
