/** Something on this machine that is a long-lived secret, or that a program would take in place of a lease. */
export interface Finding {
  /** Stable: exceptions and scripts name it. */
  readonly rule: string;
  /** `env:NAME`, or `path` or `path:line`. Never the value. */
  readonly place: string;
  readonly what: string;
  readonly instead: string;
}

/** What is looked at: an environment, and files below a home. */
export interface Machine {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly cwd: string;
  /** The content of a file; null when there is none that we can read. Absolute paths. */
  read(path: string): string | null;
  /** The names in a folder; none when it is not there. */
  list(path: string): readonly string[];
}

/** The lines of a text that match, as numbers from 1. */
export function linesMatching(text: string, pattern: RegExp): number[] {
  return text.split('\n').flatMap((line, at) => (pattern.test(line) ? [at + 1] : []));
}
