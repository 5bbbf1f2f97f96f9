import type { Io } from './io.ts';

// Control and format characters, lone surrogates, and the two separators that terminals and JSON readers disagree on.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;

/** Text from outside, made safe for a terminal: no escape sequence, no line of its own, no reversed reading. */
export function clean(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** One JSON document on standard output, safe for a terminal too. */
export function printJson(io: Io, value: unknown): void {
  const text = JSON.stringify(value, null, 2);
  io.out(
    `${text.replace(UNSAFE, (character) => (character === '\n' ? character : escapeUnits(character)))}\n`,
  );
}

function escapeUnits(character: string): string {
  return [...Array(character.length).keys()]
    .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
    .join('');
}

/** Columns for people. Cells are cleaned here. */
export async function printTable(
  io: Io,
  head: readonly string[],
  rows: readonly (readonly (string | number | null)[])[],
): Promise<void> {
  if (rows.length === 0) return io.err('Nothing found\n');
  const { default: Table } = await import('cli-table3');
  const table = new Table({
    head: head.map((text) => text.toUpperCase()),
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  });
  table.push(...rows.map((row) => row.map((cell) => (cell === null ? '-' : clean(String(cell))))));
  io.out(`${table.toString().replace(/ +$/gm, '')}\n`);
}

const NO_LINES = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
    'middle',
  ].map((place) => [place, '']),
);

/** An instant for a table, to the second. */
export function when(instant: string | null): string | null {
  return instant === null ? null : `${instant.slice(0, 19).replace('T', ' ')}Z`;
}

/** Says something to the person, beside the output. */
export function say(io: Io, text: string): void {
  io.err(`hallpass: ${clean(text)}\n`);
}
