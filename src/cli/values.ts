import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../duration.ts';
import type { Json } from '../json.ts';

/** Whole seconds from `90`, or from `90s`, `15m`, `1h30m` or `7d`. */
export function parseSeconds(text: string): number {
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : (parseDuration(text) ?? 0);
  if (seconds < 1) throw new InvalidArgumentError('Write a duration such as 90s, 15m or 1h30m.');
  return seconds;
}

/** An instant with its zone, as the API writes instants. */
export function parseInstant(text: string): string {
  const at = /T.*(?:Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw new InvalidArgumentError('Write an instant such as 2030-01-31T06:00:00Z.');
  return new Date(at).toISOString();
}

/** An integer of at least `least`. */
export function parseCount(least: number): (text: string) => number {
  return (text) => {
    if (!/^\d{1,9}$/.test(text) || Number(text) < least)
      throw new InvalidArgumentError(`Write a whole number of at least ${least}.`);
    return Number(text);
  };
}

/** Gathers `name=text` and `name:=json`: a value is a string unless it is written as JSON. Nothing is guessed. */
export function collectValue(text: string, gathered: Record<string, Json> = {}): Record<string, Json> {
  const [, name, asJson, value = ''] = /^([^=:]+)(:?)=(.*)$/s.exec(text) ?? [];
  if (!name) throw new InvalidArgumentError('Write name=text, or name:=json.');
  return { ...gathered, [name]: asJson ? parseJson(value) : value };
}

function parseJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw new InvalidArgumentError('After := stands JSON, for instance rows:=100 or name:=\'"x"\'.');
  }
}

/** Gathers `name=text`. */
export function collectPair(
  text: string,
  gathered: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const [, name, value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (!name) throw new InvalidArgumentError('Write name=value.');
  return { ...gathered, [name]: value };
}

/** Gathers a repeated option. */
export function collect(text: string, gathered: readonly string[] = []): readonly string[] {
  return [...gathered, text];
}
