import type { z } from 'zod';

export type Path = readonly (string | number)[];

/** Something in the configuration that must be written otherwise. The message says how, and holds no secret. */
export interface Fault {
  readonly path: Path;
  readonly message: string;
}

/** `grants.nightly.who[0].claims["kubernetes.io/namespace"]` */
export function printPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[\w-]{1,100}$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${JSON.stringify(step.length > 100 ? `${step.slice(0, 100)}…` : step)}]`;
  }
  return text;
}

/** A name as a message quotes it: bounded, and without what could disturb a terminal. */
export function quote(text: string): string {
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return JSON.stringify(shown).replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (c) => {
      return `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
    },
  );
}

/** `: did you mean "tasks"?` or a list of what is known here. */
export function suggest(word: string, known: Iterable<string>): string {
  const names = [...known];
  const near = nearest(word, names);
  if (near !== null) return `did you mean ${quote(near)}?`;
  return names.length === 0
    ? 'none is known here'
    : `known here: ${names.slice(0, 20).map(quote).join(', ')}`;
}

/** The candidate that is a few slips of the fingers away from the word; null when none is. */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  if (word.length > 64) return null;
  let best: string | null = null;
  const slips = word.length < 4 ? 1 : Math.max(2, Math.floor(word.length / 3));
  let least = Math.min(slips + 1, word.length);
  for (const candidate of candidates) {
    if (candidate.length > 64) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  const at = (i: number, j: number) => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const substitution = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, at(i - 1, j) + 1, (row[j - 1] ?? 0) + 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j] ?? 0, at(i - 2, j - 2) + 1);
    }
  }
  return at(a.length, b.length);
}

/**
 * What a schema has against a value, as our faults. `schema` and `value` are for the known keys and for what was found;
 * of the value only its type is ever told, because it may be a secret that stands in the wrong place.
 */
export function schemaFaults(
  issues: readonly z.core.$ZodIssue[],
  schema: z.core.$ZodType,
  value: unknown,
  at: Path = [],
): Fault[] {
  return issues.flatMap((issue) => {
    const within = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
    const path = [...at, ...within];
    const here = schemaAt(schema, within, value);
    const found = valueAt(value, within);
    if (issue.code === 'unrecognized_keys') {
      const known = here === null ? [] : keysOf(here);
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: `Unknown key ${quote(key)}: ${suggest(key, known)}`,
      }));
    }
    if (issue.code === 'invalid_union' && issue.discriminator !== undefined)
      return [
        {
          path,
          message: kindFault(schemaAt(schema, within.slice(0, -1), value), issue.discriminator, found),
        },
      ];
    if (issue.code === 'invalid_union') return unionFaults(issue, here, found, path);
    if (issue.code === 'invalid_key')
      return [{ path, message: `Cannot use this name: ${issue.issues.map((i) => i.message).join('; ')}` }];
    return [{ path, message: messageOf(issue, here, found) }];
  });
}

function messageOf(issue: z.core.$ZodIssue, here: z.core.$ZodType | null, found: unknown): string {
  const ours = !/^(?:Invalid|Too |Unrecognized)/.test(issue.message);
  if (ours) return issue.message;
  const wanted = here === null ? null : describe(here);
  if (found === undefined) return `Missing: write ${wanted ?? 'it'}`;
  switch (issue.code) {
    case 'invalid_type': {
      const expected = wanted ?? issue.expected;
      const quotes = issue.expected === 'string' && (typeof found === 'number' || typeof found === 'boolean');
      return `Expected ${expected}, found ${kindOf(found)}${quotes ? ': put it in quotes' : ''}`;
    }
    case 'invalid_value': {
      const options = issue.values.map(String);
      const near = typeof found === 'string' ? nearest(found, options) : null;
      return `Expected ${listOf(options)}${near === null ? '' : `: did you mean ${quote(near)}?`}`;
    }
    case 'too_small':
      return `Expected ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${unitOf(issue.origin)}`;
    case 'too_big':
      return `Expected ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${unitOf(issue.origin)}`;
    default:
      return issue.message;
  }
}

/** What a member that tells alternatives apart should have been. */
function kindFault(union: z.core.$ZodType | null, member: string, found: unknown): string {
  const kinds =
    union === null ? [] : optionsOf(union).flatMap((option) => literalsOf(membersOf(option).get(member)));
  const near = typeof found === 'string' ? nearest(found, kinds) : null;
  const missing = found === undefined ? 'Missing: write' : 'Expected';
  return `${missing} ${listOf(kinds)}${near === null ? '' : `: did you mean ${quote(near)}?`}`;
}

function literalsOf(schema: z.core.$ZodType | undefined): string[] {
  if (schema === undefined) return [];
  const def = (unwrap(schema) as z.core.$ZodTypes)._zod.def;
  return def.type === 'literal' ? def.values.map(String) : [];
}

/** The faults of the alternative that was most likely meant. */
function unionFaults(
  issue: z.core.$ZodIssueInvalidUnion,
  here: z.core.$ZodType | null,
  found: unknown,
  path: Path,
): Fault[] {
  const options = here === null ? [] : optionsOf(here);
  const meant = issue.errors
    .map((errors, i) => ({ errors, option: options[i] }))
    .filter(({ errors }) =>
      errors.every((e) => e.path.length > 0 || !['invalid_type', 'invalid_value'].includes(e.code)),
    )
    .sort((a, b) => a.errors.length - b.errors.length)[0];
  if (meant?.option) return schemaFaults(meant.errors, meant.option, found, path);
  const wanted = here === null ? 'something else' : describe(here);
  return [
    {
      path,
      message:
        found === undefined ? `Missing: write ${wanted}` : `Expected ${wanted}, found ${kindOf(found)}`,
    },
  ];
}

/** The schema without what is wrapped around it: optional, default, transformations. */
export function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'readonly':
    case 'nonoptional':
    case 'catch':
      return unwrap(def.innerType);
    case 'pipe':
      return unwrap(def.in);
    case 'lazy':
      return unwrap(def.getter());
    default:
      return schema;
  }
}

/** The alternatives of a union; for others, the schema alone. */
export function optionsOf(schema: z.core.$ZodType): readonly z.core.$ZodType[] {
  const def = (unwrap(schema) as z.core.$ZodTypes)._zod.def;
  return def.type === 'union' ? def.options : [unwrap(schema)];
}

/** The members that a schema names, in all its alternatives. */
export function membersOf(schema: z.core.$ZodType): ReadonlyMap<string, z.core.$ZodType> {
  const members = new Map<string, z.core.$ZodType>();
  for (const option of optionsOf(schema)) {
    const def = (unwrap(option) as z.core.$ZodTypes)._zod.def;
    if (def.type === 'object')
      for (const [name, member] of Object.entries(def.shape)) members.set(name, member);
    if (def.type === 'union') for (const [name, member] of membersOf(option)) members.set(name, member);
  }
  return members;
}

function keysOf(schema: z.core.$ZodType): string[] {
  return [...membersOf(schema).keys()];
}

/** The schema at a path; of alternatives, the one that the value has chosen. */
function schemaAt(schema: z.core.$ZodType, path: Path, value: unknown): z.core.$ZodType | null {
  let here: z.core.$ZodType | undefined = schema;
  for (const [i, step] of path.entries()) {
    if (here === undefined) return null;
    const chosen = chosenOption(here, valueAt(value, path.slice(0, i)));
    const def = (unwrap(chosen) as z.core.$ZodTypes)._zod.def;
    if (def.type === 'array') here = def.element;
    else if (def.type === 'record') here = def.valueType;
    else here = membersOf(chosen).get(String(step));
  }
  return here === undefined ? null : chosenOption(here, valueAt(value, path));
}

function chosenOption(schema: z.core.$ZodType, value: unknown): z.core.$ZodType {
  const def = (unwrap(schema) as z.core.$ZodTypes)._zod.def;
  if (def.type !== 'union' || !('discriminator' in def)) return schema;
  const member = String(def.discriminator);
  const kind = valueAt(value, [member]);
  const chosen = def.options.find((option) =>
    literalsOf(membersOf(option).get(member)).includes(String(kind)),
  );
  return chosen ?? schema;
}

function valueAt(value: unknown, path: Path): unknown {
  let here = value;
  for (const step of path) {
    if (here === null || typeof here !== 'object' || !Object.hasOwn(here, step)) return undefined;
    here = (here as Record<string | number, unknown>)[step];
  }
  return here;
}

function describe(schema: z.core.$ZodType): string {
  const def = (unwrap(schema) as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'string':
      return 'a string';
    case 'number':
      return 'format' in def ? 'a whole number' : 'a number';
    case 'boolean':
      return 'true or false';
    case 'array':
      return 'a list';
    case 'object':
    case 'record':
      return 'a map';
    case 'enum':
      return listOf(Object.values(def.entries).map(String));
    case 'literal':
      return listOf(def.values.map(String));
    case 'union':
      return [...new Set(def.options.map(describe))].join(' or ');
    default:
      return 'a value';
  }
}

function listOf(options: readonly string[]): string {
  const quoted = options.map(quote);
  return quoted.length === 1 ? (quoted[0] ?? '') : `one of ${quoted.join(', ')}`;
}

function kindOf(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  return typeof value === 'boolean' ? `${value}` : `a ${typeof value}`;
}

function unitOf(origin: string): string {
  if (origin === 'string') return ' characters';
  return origin === 'array' ? ' entries' : '';
}
