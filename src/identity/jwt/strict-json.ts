import { isUtf8 } from 'node:buffer';
import type { Json } from '../../json.ts';
import { err, ok, type Result } from '../../result.ts';
import { JSON_MAX_DEPTH, JSON_MAX_MEMBERS } from './limits.ts';

export type JsonObject = { readonly [name: string]: Json };

/** On text that `JSON.parse` accepts, these are exactly its tokens. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[-+.\w]+/g;
const INTEGER = /^-?\d+$/;
/** NUL and lone surrogates have no place in UTF-8 text that databases, logs and other parsers must agree on. */
const UNSTORABLE = /\0|\p{Surrogate}/u;

/**
 * Parses bytes as one JSON object that every reader understands in the same way (I-JSON, RFC 7493): valid UTF-8 without
 * a byte order mark, no name twice in an object, numbers that a double holds, no NUL and no lone surrogate.
 * Depth and number of members are bounded by limits.ts.
 *
 * The value is frozen throughout and its objects have no prototype, so a claim named `constructor` is found only when
 * it is there. The error says what is wrong without quoting the text.
 */
export function parseStrictObject(bytes: Uint8Array): Result<JsonObject, string> {
  if (!isUtf8(bytes)) return err('is not valid UTF-8');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  let value: Json;
  try {
    value = JSON.parse(text);
  } catch {
    return err('is not JSON');
  }
  if (!isObject(value)) return err('is not a JSON object');
  const fault = findFault(text);
  if (fault) return err(fault);
  const frozen = freeze(value);
  return isObject(frozen) ? ok(frozen) : err('holds a NUL or a lone surrogate');
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What `JSON.parse` lets pass or hides, read off the tokens of text that it accepted. */
function findFault(text: string): string | null {
  /** The names seen in each object that is open; null for an array. */
  const open: (Set<string> | null)[] = [];
  let expectsName = false;
  let members = 0;
  for (const [token] of text.matchAll(TOKEN)) {
    const names = open.at(-1);
    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : null);
      if (open.length > JSON_MAX_DEPTH) return `nests deeper than ${JSON_MAX_DEPTH} levels`;
    } else if (token === '}' || token === ']') {
      open.pop();
    } else if (expectsName && names && token.startsWith('"')) {
      const name: string = JSON.parse(token);
      if (names.has(name)) return 'has a member twice';
      names.add(name);
      if (++members > JSON_MAX_MEMBERS) return `has more than ${JSON_MAX_MEMBERS} members`;
    } else if (!isExact(token)) {
      return 'has a number that cannot be held exactly';
    }
    expectsName = token === '{' || (token === ',' && open.at(-1) !== null);
  }
  return null;
}

/** Whether a token other than a number, or a number whose value survives: two long ids must never become one. */
function isExact(token: string): boolean {
  if (!/^-?\d/.test(token)) return true;
  return INTEGER.test(token) ? Number.isSafeInteger(Number(token)) : Number.isFinite(Number(token));
}

/** A deeply frozen copy without prototypes; undefined where a string cannot be stored. */
function freeze(value: Json): Json | undefined {
  if (typeof value === 'string') return UNSTORABLE.test(value) ? undefined : value;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    const items: Json[] = [];
    for (const item of value) {
      const frozen = freeze(item);
      if (frozen === undefined) return undefined;
      items.push(frozen);
    }
    return Object.freeze(items);
  }
  const members: Record<string, Json> = Object.create(null);
  for (const [name, member] of Object.entries(value)) {
    const frozen = freeze(member);
    if (frozen === undefined || UNSTORABLE.test(name)) return undefined;
    members[name] = frozen;
  }
  return Object.freeze(members);
}
