import { MAX_FAULTS } from './limits.ts';

/** A fault as people and programs read it. */
export interface ConfigFault {
  /** The configuration's path, or `environment`. */
  readonly file: string;
  /** From 1; null where there is no place. */
  readonly line: number | null;
  readonly column: number | null;
  /** As in `grants.nightly.who[0]`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
}

/** A line for each fault, as compilers write them, and their number. */
export function reportText(faults: readonly ConfigFault[]): string {
  return `${linesOf(faults)}${faults.length === 1 ? '1 fault' : `${faults.length} faults`}\n`;
}

/** The same for what is no fault, and worth a thought. */
export function warningsText(warnings: readonly ConfigFault[]): string {
  return `${linesOf(warnings)}${warnings.length} to consider\n`;
}

function linesOf(faults: readonly ConfigFault[]): string {
  const lines = faults.slice(0, MAX_FAULTS).map(({ file, line, column, path, message }) => {
    const place = line === null ? file : `${file}:${line}:${column}`;
    return `${place}${path === '' ? '' : ` ${path}`}: ${message}`;
  });
  if (faults.length > MAX_FAULTS) lines.push(`... and ${faults.length - MAX_FAULTS} more`);
  return lines.map((line) => `${line}\n`).join('');
}

export function reportJson(faults: readonly ConfigFault[], warnings: readonly ConfigFault[]): string {
  return `${JSON.stringify({ ok: faults.length === 0, faults, warnings }, null, 2)}\n`;
}

/** By place, so that the file can be mended from top to bottom; what is said twice is said once. */
export function inOrder(faults: readonly ConfigFault[]): ConfigFault[] {
  const unique = new Map(faults.map((fault) => [JSON.stringify(fault), fault]));
  return [...unique.values()].sort(
    (a, b) =>
      (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0) || (a.path < b.path ? -1 : 1),
  );
}
