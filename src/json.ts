import { hash } from 'node:crypto';

/** Any JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** What Postgres cannot store in a text: NUL, and halves of surrogate pairs. */
const UNSTORABLE = /\0|\p{Surrogate}/u;

/** Whether the store can take a value as it is: no string in it, and no member's name, holds NUL or half a surrogate pair. */
export function isStorable(value: Json): boolean {
  if (typeof value === 'string') return !UNSTORABLE.test(value);
  if (value === null || typeof value !== 'object') return true;
  return Object.entries(value).every(([name, member]) => isStorable(name) && isStorable(member));
}

/** The value with whatever the store cannot take replaced by U+FFFD: for what comes from a target, where it must not get lost. */
export function storable(value: Json): Json {
  if (typeof value === 'string') return value.replace(new RegExp(UNSTORABLE, 'gu'), '\ufffd');
  if (Array.isArray(value)) return value.map(storable);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [String(storable(name)), storable(member)]),
  );
}

/** JSON text with the members of every object in the order of their names, so that equal values have equal text. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
    return `{${members.join(',')}}`;
  }
  return JSON.stringify(value);
}

/** SHA-256 of the canonical JSON text, base64url. */
export function digestJson(value: Json): string {
  return sha256(canonicalJson(value));
}

/** SHA-256, base64url without padding. */
export function sha256(data: string | Uint8Array): string {
  return hash('sha256', data, 'base64url');
}
