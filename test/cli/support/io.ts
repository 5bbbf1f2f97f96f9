import { openFetch } from '../../../src/cli/fetch.ts';
import type { Io } from '../../../src/cli/io.ts';
import { type Runtime, systemRuntime } from '../../../src/runtime.ts';

/** A terminal that keeps what is written to it, and signals that the test sends. */
export function fakeIo(env: Record<string, string> = {}, runtime: Partial<Runtime> = {}) {
  const written = { out: '', err: '' };
  const faults: { output: NodeJS.ErrnoException | null } = { output: null };
  const handlers = new Map<NodeJS.Signals, Set<() => void>>();
  const exits = new Set<() => void>();
  const io: Io = {
    env: { PATH: process.env.PATH, ...env },
    runtime: { ...systemRuntime, ...runtime },
    openFetch: (ca) => runtime.fetch ?? openFetch(ca),
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
    written: async () => faults.output,
    stdinIsTty: false,
    cwd: () => process.cwd(),
    secrets: async () => [],
    input: async () => '',
    onSignal(signal, handler) {
      const set = handlers.get(signal) ?? new Set();
      handlers.set(signal, set.add(handler));
      return () => void set.delete(handler);
    },
    onExit(handler) {
      exits.add(handler);
      return () => void exits.delete(handler);
    },
  };
  return {
    io,
    written,
    /** `output` is why nothing more can be written. */
    faults,
    send: (signal: NodeJS.Signals) => {
      for (const handler of handlers.get(signal) ?? []) handler();
    },
    listeners: () => [...handlers.values()].reduce((sum, set) => sum + set.size, exits.size),
  };
}
