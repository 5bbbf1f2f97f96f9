import pg from 'pg';
import { MAX_NAME_BYTES } from './limits.ts';

const LONE_SURROGATE = /\p{Surrogate}/u;

/** A name as a quoted SQL identifier. Throws RangeError for what PostgreSQL cannot hold as a name, or would cut. */
export function identifier(name: string): string {
  const fault = nameFault(name);
  if (fault) throw new RangeError(`Cannot use ${shown(name)} as a name: ${fault}`);
  return pg.escapeIdentifier(name);
}

/** Why a string cannot be a name, or null when it can. */
export function nameFault(name: string): string | null {
  if (name === '') return 'it is empty';
  if (name.includes('\0')) return 'it holds a NUL character';
  if (LONE_SURROGATE.test(name)) return 'it is not well-formed Unicode';
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `it is longer than ${MAX_NAME_BYTES} bytes`;
  return null;
}

/** A value as a quoted SQL literal, whatever `standard_conforming_strings` says. Throws RangeError for what text cannot hold. */
export function literal(value: string): string {
  return pg.escapeLiteral(plain(value));
}

/** A value as it is. Throws RangeError for what PostgreSQL's text cannot hold. */
export function plain(value: string): string {
  if (value.includes('\0')) throw new RangeError(`Cannot use ${shown(value)}: it holds a NUL character`);
  if (LONE_SURROGATE.test(value))
    throw new RangeError(`Cannot use ${shown(value)}: it is not well-formed Unicode`);
  return value;
}

/** An instant in milliseconds since the epoch as a literal of type timestamptz. */
export function instant(ms: number): string {
  return literal(new Date(ms).toISOString());
}

/** Enough of a value to recognise it by. */
function shown(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
}
