import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { type Exception, exceptionFor, readExceptions } from '../doctor/exceptions.ts';
import type { Finding, Machine } from '../doctor/finding.ts';
import { RULES } from '../doctor/rules.ts';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printJson, printTable, say } from '../output.ts';

export interface DoctorOptions {
  readonly json?: true;
  readonly ci?: true;
  readonly exceptions?: string;
}

const EXCEPTIONS = 'hallpass-exceptions.yaml';

/**
 * Says what on this machine or in this job is a long-lived secret, or would win over a lease: by place, never by value.
 * With `ci` it ends with 1 where no live exception covers a finding.
 */
export async function doctor(io: Io, options: DoctorOptions): Promise<number> {
  const now = io.runtime.now();
  const exceptions = exceptionsOf(io, options, now);
  const found = examine(machineOf(io)).map((finding) => ({
    ...finding,
    exception: exceptionFor(finding, exceptions, now),
  }));
  const open = found.filter(({ exception }) => exception === null);
  if (options.json) printJson(io, { ok: open.length === 0, findings: found.map(shown) });
  else if (found.length > 0) await print(io, found);
  if (!options.json) {
    for (const { rule, place, owner } of exceptions.filter(({ expiresAt }) => expiresAt <= now))
      say(io, `The exception of ${owner} for ${rule} at ${place} has expired`);
    say(io, open.length === 0 ? 'Nothing found that a lease would not cover' : `${open.length} found`);
  }
  return options.ci && open.length > 0 ? EXIT.failed : EXIT.done;
}

/** All findings, in the order of the rules. */
export function examine(machine: Machine): Finding[] {
  return RULES.flatMap((rule) => rule(machine));
}

function print(io: Io, found: readonly (Finding & { exception: Exception | null })[]): Promise<void> {
  const rows = found.map(({ rule, place, what, instead, exception }) => [
    rule,
    place,
    what,
    exception ? `excepted by ${exception.owner} until ${day(exception)}` : instead,
  ]);
  return printTable(io, ['rule', 'where', 'what', 'instead'], rows);
}

function shown({ exception, ...finding }: Finding & { exception: Exception | null }) {
  if (!exception) return { ...finding, exception: null };
  const { owner, reason } = exception;
  return { ...finding, exception: { owner, reason, expires: day(exception) } };
}

function day({ expiresAt }: Exception): string {
  return new Date(expiresAt - 1).toISOString().slice(0, 10);
}

function exceptionsOf(io: Io, options: DoctorOptions, now: number): Exception[] {
  const file = resolve(io.cwd(), options.exceptions ?? EXCEPTIONS);
  if (!existsSync(file)) {
    if (options.exceptions === undefined) return [];
    throw new UsageError(`Cannot read ${JSON.stringify(options.exceptions)}: there is no such file`);
  }
  return readExceptions(readFileSync(file, 'utf8'), file, now);
}

/** No file worth reading is longer. */
const LONGEST_FILE = 4_000_000;

function machineOf(io: Io): Machine {
  return {
    env: io.env,
    home: io.env.HOME ?? homedir(),
    cwd: io.cwd(),
    read(path) {
      try {
        const found = statSync(path);
        return found.isFile() && found.size <= LONGEST_FILE ? readFileSync(path, 'utf8') : null;
      } catch {
        return null;
      }
    },
    list(path) {
      try {
        return readdirSync(path).toSorted();
      } catch {
        return [];
      }
    },
  };
}
