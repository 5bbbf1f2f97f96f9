import type { Json } from '../json.ts';
import { type Fault, nearest, type Path, quote } from './fault.ts';
import { type Glob, parseGlob } from './glob.ts';
import type { ParameterRule } from './grant.ts';
import { MAX_PARAMETER_LENGTH } from './limits.ts';
import type { RawParameter } from './schema.ts';

/** A parameter's rule, and what templates and conditions need to know of it. */
export interface ParsedParameter extends ParameterRule {
  readonly type: 'string' | 'integer' | 'boolean';
  /** Whether few enough values fit for a scope to use it: see `RawParameter`. */
  readonly bounded: boolean;
  /** Whether every task has a value for it. */
  readonly present: boolean;
  /** Values to try a template with at load. `complete`: there are no others. */
  readonly samples: { readonly values: readonly Json[]; readonly complete: boolean };
}

export function parseParameter(
  name: string,
  raw: RawParameter,
  path: Path,
  faults: Fault[],
): ParsedParameter {
  const fault = faultFinder(raw, path, faults);
  const fallback = raw.default;
  if (fallback !== undefined) {
    const message = fault(fallback);
    if (message !== null)
      faults.push({ path: [...path, 'default'], message: `Cannot be the default: ${message}` });
    if (raw.required === true)
      faults.push({
        path: [...path, 'required'],
        message: 'A required parameter has no use for a default: leave one out',
      });
  }
  const required = raw.required ?? fallback === undefined;
  return {
    name,
    type: raw.type,
    required,
    default: fallback,
    fault,
    bounded: isBounded(raw),
    present: required || fallback !== undefined,
    samples: samplesOf(raw),
  };
}

type FaultFinder = (value: Json) => string | null;

function faultFinder(raw: RawParameter, path: Path, faults: Fault[]): FaultFinder {
  switch (raw.type) {
    case 'boolean':
      return (value) => (typeof value === 'boolean' ? null : 'expected true or false');
    case 'integer': {
      const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = raw;
      if (min > max)
        faults.push({ path: [...path, 'max'], message: `Cannot lie below min: write ${min} or more` });
      return (value) => {
        if (typeof value !== 'number' || !Number.isSafeInteger(value)) return 'expected a whole number';
        return value < min || value > max ? `expected ${min} to ${max}` : null;
      };
    }
    case 'string':
      return stringFaultFinder(raw, path, faults);
  }
}

function stringFaultFinder(
  raw: Extract<RawParameter, { type: 'string' }>,
  path: Path,
  faults: Fault[],
): FaultFinder {
  const max = raw.max_length ?? MAX_PARAMETER_LENGTH;
  const globs: Glob[] = [];
  for (const text of [raw.pattern ?? []].flat()) {
    const glob = parseGlob(text);
    if (typeof glob === 'string') faults.push({ path: [...path, 'pattern'], message: glob });
    else globs.push(glob);
  }
  const listed = raw.enum === undefined ? null : new Set(raw.enum);
  const finder: FaultFinder = (value) => {
    if (typeof value !== 'string') return 'expected a string';
    if (value.length > max) return `expected at most ${max} characters`;
    if (!isPlainText(value)) return 'expected no control characters';
    if (listed !== null && !listed.has(value)) {
      const near = nearest(value, listed);
      return `expected one of its values${near === null ? '' : `: did you mean ${quote(near)}?`}`;
    }
    if (globs.length > 0 && !globs.some((glob) => glob.matches(value)))
      return `expected ${globs.map((glob) => quote(glob.text)).join(' or ')}`;
    // A pattern has segments, so its values are paths to somebody: none may lead back out of what it allows.
    if (globs.length > 0 && hasDotSegment(value)) return 'expected no segment "." or ".."';
    return null;
  };
  for (const [i, value] of (raw.enum ?? []).entries()) {
    const message = finder(value);
    if (message !== null)
      faults.push({ path: [...path, 'enum', i], message: `Can never be given: ${message}` });
  }
  return finder;
}

/** Text that can be stored, logged and shown as it is: no control characters, no halves of a character. */
export function isPlainText(text: string): boolean {
  return !/[\p{Cc}\p{Cs}\u2028\u2029]/u.test(text);
}

/** Whether a path has a segment that means this place or the one above it. */
export function hasDotSegment(path: string): boolean {
  return path.split('/').some((segment) => segment === '.' || segment === '..');
}

function isBounded(raw: RawParameter): boolean {
  if (raw.type !== 'string' || raw.enum !== undefined || raw.max_length !== undefined) return true;
  return raw.pattern !== undefined && ![raw.pattern].flat().some((text) => /^[*?/:]*$/.test(text));
}

function samplesOf(raw: RawParameter): ParsedParameter['samples'] {
  switch (raw.type) {
    case 'boolean':
      return { values: [true, false], complete: true };
    case 'integer':
      return { values: [raw.min ?? raw.max ?? 0], complete: false };
    case 'string': {
      if (raw.enum !== undefined) return { values: raw.enum, complete: true };
      const text = [raw.pattern ?? 'a'].flat()[0] ?? 'a';
      return { values: [raw.default ?? text.replaceAll(/[*?]+/g, 'a')], complete: false };
    }
  }
}
