import {
  type ErrorCode,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  Parser,
  parseDocument,
} from 'yaml';
import type { Fault, Path } from '../grants/fault.ts';
import { quote } from '../grants/fault.ts';
import type { Json } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { MAX_DEPTH, MAX_FILE_BYTES } from './limits.ts';

interface Position {
  readonly line: number;
  readonly column: number;
}

/** A fault that the text itself has: it knows its position. */
export type TextFault = Fault & { readonly position: Position | null };

export interface YamlDocument {
  readonly value: Json;
  /** Where the path stands in the text, or the nearest part of it that does. */
  positionOf(path: Path): Position | null;
}

/**
 * Reads one YAML 1.2 document into plain JSON. Refused is what reads otherwise than it looks, or could be used to
 * hide or to overwhelm: duplicate keys, anchors and aliases, tags, several documents, control characters, great depth.
 */
export function readYaml(bytes: Uint8Array): Result<YamlDocument, TextFault[]> {
  if (bytes.length > MAX_FILE_BYTES)
    return err([
      fault(`Cannot read a file of more than ${MAX_FILE_BYTES} bytes: take out what is no configuration`),
    ]);
  const text = decode(bytes);
  if (text === null) return err([fault('Cannot read the file: it is not UTF-8')]);
  if (isTooDeep(text)) return err([fault(`Cannot read the file: it is nested more than ${MAX_DEPTH} deep`)]);
  const lines = new LineCounter();
  let root: Node | null;
  const faults: TextFault[] = [];
  const at = (offset: number | undefined): Position | null => {
    if (offset === undefined) return null;
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  try {
    // Duplicate keys are found below, with their path, and in linear time.
    const options = {
      lineCounter: lines,
      uniqueKeys: false,
      stringKeys: true,
      prettyErrors: false,
      version: '1.2',
    } as const;
    const document = parseDocument(text, options);
    root = document.contents as Node | null;
    for (const { code, message, pos } of [...document.errors, ...document.warnings])
      faults.push({
        path: [],
        message: `Cannot read the YAML: ${ADVICE[code] ?? message}`,
        position: at(pos[0]),
      });
  } catch (error) {
    // The parser descends as deep as the text is nested.
    if (!(error instanceof RangeError)) throw error;
    return err([fault(`Cannot read the file: it is nested more than ${MAX_DEPTH} deep`)]);
  }
  if (faults.length > 0) return err(faults);
  const value = root === null ? null : toJson(root, [], faults, at);
  if (faults.length > 0) return err(faults);
  if (value === null)
    return err([fault('The file is empty: write at least broker, issuers, targets and grants')]);
  return ok({ value, positionOf: (path) => positionOf(root, path, at) });
}

/**
 * Whether the text is nested so deep that composing it could use the stack up: the composer descends as deep as the
 * text, and Node.js may die of that where no error can be caught. The tokens before it are made without descending.
 */
function isTooDeep(text: string): boolean {
  let level: unknown[] = [...new Parser().parse(text)];
  // A level of the text is two or three of its tokens.
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > TOKENS_PER_LEVEL * (MAX_DEPTH + 2)) return true;
    level = level.flatMap(insides);
  }
  return false;
}

const TOKENS_PER_LEVEL = 3;

/** What stands directly in a token: a document's value, a collection's items, an item's key and value. */
function insides(token: unknown): unknown[] {
  const { value, items, key } = token as Readonly<Record<'value' | 'items' | 'key', unknown>>;
  return [...(Array.isArray(items) ? items : []), value, key].filter(
    (inside) => inside !== null && typeof inside === 'object',
  );
}

/** In place of the parser's words, where these are for programmers. */
const ADVICE: Readonly<Partial<Record<ErrorCode, string>>> = {
  MULTIPLE_DOCS: 'a second document begins here: keep one, without a line of ---',
  TAB_AS_INDENT: 'a tab cannot indent: write spaces',
};

function fault(message: string): TextFault {
  return { path: [], message, position: null };
}

function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

type At = (offset: number | undefined) => Position | null;

function toJson(node: Node, path: Path, faults: TextFault[], at: At): Json {
  const report = (message: string, where: Path = path, offset = node.range?.[0]) =>
    faults.push({ path: where, message, position: at(offset) });
  if (path.length > MAX_DEPTH) {
    report(`Nested more than ${MAX_DEPTH} deep`);
    return null;
  }
  if (isAlias(node) || (!isAlias(node) && 'anchor' in node && node.anchor !== undefined)) {
    report('Cannot use anchors and aliases: write the value out, so that a reader sees what is in force');
    return null;
  }
  if (node.tag?.startsWith('!') || (node.tag !== undefined && !CORE_TAGS.has(node.tag)))
    report(`Cannot use the tag ${quote(String(node.tag))}: write plain values`);
  if (isSeq(node))
    return node.items.map((item, i) => (isNode(item) ? toJson(item, [...path, i], faults, at) : null));
  if (isMap(node)) {
    const members: [string, Json][] = [];
    const seen = new Set<string>();
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : '';
      const where = [...path, name];
      const offset = isNode(key) ? key.range?.[0] : undefined;
      if (seen.has(name)) report(`The key ${quote(name)} is there twice: keep one`, where, offset);
      if (name === '__proto__') report('Cannot use "__proto__" as a name: rename it', where, offset);
      if (hasControls(name)) report('Cannot use control characters in a name', where, offset);
      seen.add(name);
      members.push([name, isNode(value) ? toJson(value, where, faults, at) : null]);
    }
    return Object.fromEntries(members);
  }
  const value = isScalar(node) ? node.value : null;
  if (typeof value === 'string' && hasControls(value)) report('Cannot use control characters: remove them');
  if (typeof value === 'number' && !Number.isFinite(value)) report('Cannot use a number that is not finite');
  return value as Json;
}

const CORE_TAGS = new Set(
  ['map', 'seq', 'str', 'int', 'float', 'bool', 'null'].map((tag) => `tag:yaml.org,2002:${tag}`),
);

/** Characters that text files have no use for; line breaks and tabs stay. */
function hasControls(text: string): boolean {
  return /[\p{Cc}\p{Cs}]/u.test(text.replace(/[\t\n\r]/g, ''));
}

function positionOf(root: Node | null, path: Path, at: At): Position | null {
  let node: unknown = root;
  let found = root?.range?.[0];
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
      if (pair === undefined) break;
      if (isNode(pair.key)) found = pair.key.range?.[0] ?? found;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      if (!isNode(node)) break;
      found = node.range?.[0] ?? found;
    } else break;
  }
  return at(found);
}
