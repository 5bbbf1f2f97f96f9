import type { Json } from '../json.ts';
import type { Templating } from '../providers/provider.ts';
import { type Fault, type Path, printPath, quote, suggest } from './fault.ts';
import type { TemplateValues } from './grant.ts';

/**
 * A scope whose strings hold templates: `{{ parameters.region }}`, `{{ task }}`, `{{ parameters.table | identifier }}`.
 * Only strings are templates, never the names of members. What is filled in is always text: a number or boolean
 * enters as its JSON text, also where the template is the whole string. The value passes through the named filter of
 * the provider, or through the one that the provider prescribes for that place.
 */
export interface ScopeTemplate {
  /** The parameters that it uses. */
  readonly parameters: ReadonlySet<string>;
  readonly usesTask: boolean;
  /** The places that hold templates. */
  readonly places: readonly { readonly path: Path; readonly parameters: readonly string[] }[];
  /** The scope with these values; or the place that cannot take its value, and why. */
  fill(
    values: TemplateValues,
  ): { readonly ok: true; readonly value: Json } | { readonly ok: false; readonly error: string };
}

/** A piece of a string: text, or a value to be filled in. */
type Piece = string | { readonly source: Source; readonly filter: ((value: string) => string) | null };
type Source = { readonly kind: 'task' } | { readonly kind: 'parameter'; readonly name: string };

interface Parsed {
  readonly path: Path;
  readonly pieces: readonly Piece[];
}

export function parseTemplate(
  raw: Json,
  templating: Templating,
  known: { has(name: string): boolean; keys(): Iterable<string> },
  at: Path,
  faults: Fault[],
): ScopeTemplate {
  const parsed: Parsed[] = [];
  const walk = (value: Json, path: Path): void => {
    if (typeof value === 'string') {
      const pieces = parseString(
        value,
        (text) => parseExpression(text, path, templating, known),
        (message) => faults.push({ path: [...at, ...path], message }),
      );
      if (pieces.some((piece) => typeof piece !== 'string')) parsed.push({ path, pieces });
    } else if (Array.isArray(value)) {
      for (const [i, entry] of value.entries()) walk(entry, [...path, i]);
    } else if (value !== null && typeof value === 'object') {
      for (const [name, member] of Object.entries(value)) {
        if (name.includes('{{')) {
          const message = 'Cannot use a template in the name of a member: only values are filled in';
          faults.push({ path: [...at, ...path, name], message });
        }
        walk(member, [...path, name]);
      }
    }
  };
  walk(raw, []);
  const sources = parsed.flatMap(({ pieces }) =>
    pieces.flatMap((piece) => (typeof piece === 'string' ? [] : [piece.source])),
  );
  return {
    parameters: new Set(sources.flatMap((source) => (source.kind === 'parameter' ? [source.name] : []))),
    usesTask: sources.some((source) => source.kind === 'task'),
    places: parsed.map(({ path, pieces }) => ({ path, parameters: parametersOf(pieces) })),
    fill: (values) => fill(raw, parsed, values),
  };
}

function parametersOf(pieces: readonly Piece[]): string[] {
  return pieces.flatMap((piece) =>
    typeof piece !== 'string' && piece.source.kind === 'parameter' ? [piece.source.name] : [],
  );
}

/** Splits a string at its `{{ }}`; a part that cannot be read is reported and left out. */
function parseString(
  text: string,
  expression: (text: string) => Piece | { readonly fault: string },
  report: (message: string) => void,
): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (let open = text.indexOf('{{'); open !== -1; open = text.indexOf('{{', from)) {
    const close = text.indexOf('}}', open);
    if (close === -1) {
      report('A template that begins with "{{" must end with "}}"');
      return pieces;
    }
    if (open > from) pieces.push(text.slice(from, open));
    const piece = expression(text.slice(open + 2, close));
    if (typeof piece === 'object' && 'fault' in piece) report(piece.fault);
    else pieces.push(piece);
    from = close + 2;
  }
  if (from < text.length) pieces.push(text.slice(from));
  return pieces;
}

const EXPRESSION = /^\s*(?:(task)|parameters\.(\w+))\s*(?:\|\s*(\w+)\s*)?$/;

function parseExpression(
  text: string,
  path: Path,
  templating: Templating,
  known: { has(name: string): boolean; keys(): Iterable<string> },
): Piece | { readonly fault: string } {
  const match = EXPRESSION.exec(text);
  if (match === null)
    return {
      fault: `Cannot read the template ${quote(text.trim())}: write {{ parameters.name }}, {{ task }} or {{ parameters.name | filter }}`,
    };
  const [, task, name = '', named] = match;
  if (task === undefined && !known.has(name))
    return { fault: `Unknown parameter ${quote(name)}: ${suggest(name, known.keys())}` };
  const filters = Object.keys(templating.filters);
  const filterName = named ?? templating.defaultFilter(path);
  if (filterName === null)
    return {
      fault: `Say how this value enters here: write {{ ${text.trim()} | filter }} with one of ${filters.join(', ')}`,
    };
  const filter = Object.hasOwn(templating.filters, filterName) ? templating.filters[filterName] : undefined;
  if (filter === undefined)
    return { fault: `Unknown filter ${quote(filterName)}: ${suggest(filterName, filters)}` };
  return { source: task === undefined ? { kind: 'parameter', name } : { kind: 'task' }, filter };
}

function fill(
  raw: Json,
  parsed: readonly Parsed[],
  values: TemplateValues,
): { readonly ok: true; readonly value: Json } | { readonly ok: false; readonly error: string } {
  const filled = new Map<string, string>();
  for (const { path, pieces } of parsed) {
    let text = '';
    for (const piece of pieces) {
      if (typeof piece === 'string') {
        text += piece;
        continue;
      }
      const value = textOf(piece.source, values);
      if (value === undefined)
        return { ok: false, error: `${printPath(path)}: ${nameOf(piece.source)} has no value` };
      try {
        text += piece.filter === null ? value : piece.filter(value);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        return {
          ok: false,
          error: `${printPath(path)}: cannot use ${nameOf(piece.source)} here: ${error.message}`,
        };
      }
    }
    filled.set(printPath(path), text);
  }
  return { ok: true, value: replaceStrings(raw, [], filled) };
}

function replaceStrings(value: Json, path: Path, filled: ReadonlyMap<string, string>): Json {
  if (typeof value === 'string') return filled.get(printPath(path)) ?? value;
  if (Array.isArray(value)) return value.map((entry: Json, i) => replaceStrings(entry, [...path, i], filled));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, replaceStrings(member, [...path, name], filled)]),
  );
}

function textOf(source: Source, values: TemplateValues): string | undefined {
  if (source.kind === 'task') return values.task;
  if (!Object.hasOwn(values.parameters, source.name)) return undefined;
  const value = values.parameters[source.name];
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function nameOf(source: Source): string {
  return source.kind === 'task' ? 'task' : `parameters.${source.name}`;
}
