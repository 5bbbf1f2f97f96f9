import { lstatSync, readFileSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Credential } from '../../client/task.ts';
import { UsageError } from '../failure.ts';
import { writeSecret } from './folder.ts';
import { fillTemplate, filterOf, type TemplateValues } from './template.ts';

/** An application's own configuration file, made from its template. */
export interface Rendered {
  /** Writes it with these credentials: mode 0600, in one step. */
  render(credentials: readonly Credential[]): void;
  /** Removes it, once it was written. Synchronous; safe to repeat. */
  remove(): void;
}

/** Reads `in:out`. The template is read once, so that what a running command may write cannot change it. */
export function openTemplate(pair: string, cwd: string): Rendered {
  const [, source = '', target = ''] = /^(.+):([^:]+)$/s.exec(pair) ?? [];
  if (source === '') throw new UsageError(`Cannot use --template ${JSON.stringify(pair)}: write in:out`);
  const path = resolve(cwd, target);
  const text = readTemplate(resolve(cwd, source));
  const filter = filterOf(target) ?? filterOf(source);
  refuseForeign(path);
  let written = false;
  return {
    render(credentials) {
      const content = fillTemplate(text, valuesOf(credentials), filter);
      if (!written) refuseForeign(path);
      written = true;
      writeSecret(path, content);
    },
    remove() {
      if (written) rmSync(path, { force: true });
    },
  };
}

function readTemplate(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`Cannot read the template: ${(error as Error).message}`);
  }
}

/** What an earlier run left behind may be replaced: it is a plain file of ours that nobody else can read. */
function refuseForeign(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  const ours =
    found.isFile() && (found.mode & 0o077) === 0 && found.uid === (process.getuid?.() ?? found.uid);
  if (!ours)
    throw new UsageError(
      `Cannot write the template's result to ${JSON.stringify(path)}: something else is there; remove it or name another file`,
    );
}

function valuesOf(credentials: readonly Credential[]): TemplateValues {
  return Object.fromEntries(credentials.map(({ name, secret }) => [name, secret.values]));
}
