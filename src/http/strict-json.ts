import type { Result } from '../result.ts';
import { err, ok } from '../result.ts';

/** What bounds a JSON text beside its size. */
export interface JsonBounds {
  readonly maxJsonDepth: number;
  readonly maxJsonMembers: number;
}

interface Container {
  /** The names seen in this object; null for an array. */
  readonly names: Set<string> | null;
  /** Whether the next string is a name. */
  expectsName: boolean;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Parses untrusted JSON. Refused with a sentence for the caller: what RFC 8259 does not allow, nesting and member counts
 * above the bounds, a name twice in one object (RFC 8259 section 4 leaves its meaning open), and the name `__proto__`.
 */
export function parseStrictJson(text: string, bounds: JsonBounds): Result<unknown, string> {
  const fault = boundsFault(text, bounds);
  if (fault !== null) return err(fault);
  try {
    return ok(JSON.parse(text));
  } catch {
    return err('The body is not valid JSON');
  }
}

/** Scans without building anything. Text that is not JSON may pass here: the parser refuses it afterwards. */
function boundsFault(text: string, bounds: JsonBounds): string | null {
  const open: Container[] = [];
  let members = 0;
  for (let at = 0; at < text.length; at++) {
    const top = open.at(-1);
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = endOfString(text, at);
        if (end < 0) return 'The body is not valid JSON';
        if (top?.names && top.expectsName) {
          const fault = addName(top.names, text.slice(at, end + 1));
          if (fault !== null) return fault;
          top.expectsName = false;
        }
        at = end;
        break;
      }
      case OPEN_OBJECT:
      case OPEN_ARRAY: {
        if (open.length >= bounds.maxJsonDepth)
          return `The body nests deeper than ${bounds.maxJsonDepth} levels`;
        const isObject = text.charCodeAt(at) === OPEN_OBJECT;
        open.push({ names: isObject ? new Set() : null, expectsName: isObject });
        members++;
        break;
      }
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        open.pop();
        break;
      case COMMA:
        members++;
        if (top?.names) top.expectsName = true;
        break;
    }
    if (members > bounds.maxJsonMembers) return `The body has more than ${bounds.maxJsonMembers} members`;
  }
  return null;
}

function endOfString(text: string, start: number): number {
  let end = start;
  do {
    end = text.indexOf('"', end + 1);
  } while (end > 0 && isEscaped(text, end));
  return end;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++;
  return backslashes % 2 === 1;
}

function addName(names: Set<string>, quoted: string): string | null {
  let name: string;
  try {
    name = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
  } catch {
    return 'The body is not valid JSON';
  }
  if (name === '__proto__') return 'The body has a member named "__proto__"';
  if (names.has(name)) return `The body has the member ${JSON.stringify(name.slice(0, 100))} twice`;
  names.add(name);
  return null;
}
