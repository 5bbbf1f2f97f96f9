import { Writable } from 'node:stream';
import type { Fetch } from '../client/transport.ts';
import { type Runtime, systemRuntime } from '../runtime.ts';
import { openFetch } from './fetch.ts';

/** The terminal, the environment and the signals, as one value. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly runtime: Runtime;
  /** What brokers are reached with. `ca` is PEM that is trusted beside what Node.js trusts. */
  openFetch(ca: string | null): Fetch;
  out(text: string): void;
  err(text: string): void;
  /** Waits for what `out` was given, and says why not all of it got to where it was to go; null when it did. */
  written(): Promise<NodeJS.ErrnoException | null>;
  /** Whether the terminal gives its own signals (Ctrl-C) to the command as well as to us. */
  readonly stdinIsTty: boolean;
  /** Whether a person watches what goes beside the output. */
  readonly stderrIsTty?: boolean;
  cwd(): string;
  /** A line for each prompt, which the terminal does not show; fewer when the input ends. */
  secrets(prompts: readonly string[]): Promise<string[]>;
  /** All of standard input. */
  input(): Promise<string>;
  /** Calls `handler` instead of dying; the answer undoes it. */
  onSignal(signal: NodeJS.Signals, handler: () => void): () => void;
  /** Calls `handler`, which must not wait, as the process exits, however that comes; the answer undoes it. */
  onExit(handler: () => void): () => void;
}

/** The process itself. */
export function processIo(): Io {
  let lost: NodeJS.ErrnoException | null = null;
  return {
    env: process.env,
    runtime: systemRuntime,
    openFetch,
    out: (text) =>
      write(process.stdout, text, (error) => {
        lost ??= error ?? null;
      }),
    err: (text) => write(process.stderr, text),
    // What was written last is answered last.
    written: () => new Promise((resolve) => write(process.stdout, '', () => resolve(lost))),
    stdinIsTty: process.stdin.isTTY === true,
    stderrIsTty: process.stderr.isTTY === true,
    cwd: () => process.cwd(),
    secrets: (prompts) => readSecrets(prompts),
    async input() {
      let text = '';
      for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
      return text;
    },
    onSignal(signal, handler) {
      process.on(signal, handler);
      return () => void process.off(signal, handler);
    },
    onExit(handler) {
      process.on('exit', handler);
      return () => void process.off('exit', handler);
    },
  };
}

async function readSecrets(prompts: readonly string[]): Promise<string[]> {
  const { createInterface } = await import('node:readline');
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = process.stdin.isTTY === true;
  const reader = createInterface({ input: process.stdin, output: silent, terminal, historySize: 0 });
  const lines = reader[Symbol.asyncIterator]();
  const given: string[] = [];
  try {
    for (const prompt of prompts) {
      if (terminal) write(process.stderr, prompt);
      const line = await lines.next();
      if (terminal) write(process.stderr, '\n');
      if (line.done) break;
      given.push(line.value.trim());
    }
    return given;
  } finally {
    reader.close();
  }
}

/** A terminal that was closed, or a pipe that nobody reads, must not end us before the credentials are asked back. */
function write(
  stream: NodeJS.WriteStream,
  text: string,
  done?: (error?: NodeJS.ErrnoException | null) => void,
): void {
  if (stream.listenerCount('error') === 0) stream.on('error', () => {});
  stream.write(text, done);
}
