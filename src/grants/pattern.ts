import type { Json } from '../json.ts';
import type { Fault, Path } from './fault.ts';
import { quote } from './fault.ts';
import { type Glob, parseGlob } from './glob.ts';
import type { Pattern } from './grant.ts';
import { MAX_PATTERNS } from './limits.ts';

/** A pattern, and what it says about how much it lets in. */
export interface ParsedPattern extends Pattern {
  readonly shape:
    | { readonly kind: 'exact'; readonly value: string | number | boolean }
    | { readonly kind: 'glob'; readonly glob: Glob }
    | { readonly kind: 'contains'; readonly inner: ParsedPattern };
}

/**
 * Reads what the configuration accepts for a value, any of which will do:
 *
 * - `main`, `42`, `true`: exactly this, with this type. `true` is not `"true"`, `1` is not `"1"`
 * - `{ glob: "release/*" }`, or a list of globs: a string, see glob.ts
 * - `{ exact: "a*b" }`: a string with a star in it
 * - `{ contains: admins }`: a list with such an entry. No other pattern ever matches a list
 * - a list of any of these
 */
export function parsePatterns(raw: Json | undefined, path: Path, faults: Fault[]): ParsedPattern[] {
  if (!Array.isArray(raw)) return parseOne(raw, path, faults);
  if (raw.length === 0)
    faults.push({ path, message: 'An empty list matches nothing: write at least one value' });
  if (raw.length > MAX_PATTERNS) {
    faults.push({ path, message: `Too many values: write at most ${MAX_PATTERNS}, or match a group` });
    return [];
  }
  return raw.flatMap((entry: Json, i) => {
    if (!Array.isArray(entry)) return parseOne(entry, [...path, i], faults);
    faults.push({ path: [...path, i], message: 'Cannot use a list in a list: write the values in one' });
    return [];
  });
}

function parseOne(raw: Json | undefined, path: Path, faults: Fault[]): ParsedPattern[] {
  if (raw === undefined || raw === null) {
    faults.push({ path, message: 'Missing: write the value that is accepted' });
    return [];
  }
  if (typeof raw === 'object') return parseObject(raw as { [key: string]: Json }, path, faults);
  if (
    (typeof raw === 'number' && !(Number.isSafeInteger(raw) || !Number.isInteger(raw))) ||
    Number.isNaN(raw)
  ) {
    faults.push({
      path,
      message: 'This number cannot be held exactly: put it in quotes if the claim is a string',
    });
    return [];
  }
  if (typeof raw === 'string' && raw.includes('*')) {
    const hint = `write { glob: ${quote(raw)} }, or { exact: ${quote(raw)} } if the star is meant`;
    faults.push({ path, message: `A star in a plain value stands for itself: ${hint}` });
    return [];
  }
  return [exact(raw as string | number | boolean)];
}

const KINDS = ['glob', 'exact', 'contains'];

function parseObject(raw: { readonly [key: string]: Json }, path: Path, faults: Fault[]): ParsedPattern[] {
  const [kind, ...others] = Object.keys(raw);
  if (kind === undefined || others.length > 0 || !KINDS.includes(kind)) {
    const message =
      'Cannot read this pattern: write a value, { glob: ... }, { contains: ... } or { exact: ... }';
    faults.push({ path, message });
    return [];
  }
  const value = raw[kind];
  const inside = [...path, kind];
  if (kind === 'contains') return parseContains(value, inside, faults);
  if (kind === 'exact') {
    if (typeof value === 'string') return [exact(value)];
    faults.push({ path: inside, message: 'Expected a string' });
    return [];
  }
  const texts: readonly Json[] = Array.isArray(value) ? value : [value];
  if (texts.length === 0 || texts.length > MAX_PATTERNS) {
    faults.push({ path: inside, message: `Write 1 to ${MAX_PATTERNS} globs` });
    return [];
  }
  return texts.flatMap((text, i) => {
    const glob =
      typeof text === 'string' ? parseGlob(text) : 'Expected a string: a glob matches strings only';
    if (typeof glob !== 'string') return [globPattern(glob)];
    faults.push({ path: Array.isArray(value) ? [...inside, i] : inside, message: glob });
    return [];
  });
}

function parseContains(value: Json | undefined, path: Path, faults: Fault[]): ParsedPattern[] {
  return parsePatterns(value, path, faults).flatMap((inner) => {
    if (inner.shape.kind === 'contains') {
      faults.push({ path, message: 'Cannot look for a list in a list: write the entry itself' });
      return [];
    }
    return [contains(inner)];
  });
}

function exact(value: string | number | boolean): ParsedPattern {
  return {
    text: JSON.stringify(value),
    shape: { kind: 'exact', value },
    matches: (candidate) => candidate === value,
  };
}

function globPattern(glob: Glob): ParsedPattern {
  return {
    text: `glob ${quote(glob.text)}`,
    shape: { kind: 'glob', glob },
    matches: (candidate) => typeof candidate === 'string' && glob.matches(candidate),
  };
}

function contains(inner: ParsedPattern): ParsedPattern {
  return {
    text: `a list with ${inner.text}`,
    shape: { kind: 'contains', inner },
    matches: (candidate) => Array.isArray(candidate) && candidate.some((entry: Json) => inner.matches(entry)),
  };
}
