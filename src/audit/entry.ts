import { type Json, sha256 } from '../json.ts';
import type { AuditEvent } from './event.ts';
import { MAX_ENTRY_BYTES } from './tile.ts';

/**
 * An event as the text that is stored and hashed. The format of the log bounds an entry; members of an event's data
 * that would pass the bound (claims and parameters come from outside) are replaced by their digest, the longest first.
 */
export function entryText(event: AuditEvent): string {
  const text = JSON.stringify(event);
  if (Buffer.byteLength(text) <= MAX_ENTRY_BYTES) return text;
  const members = Object.entries(event.data as Readonly<Record<string, Json>>)
    .map(([name, value]) => ({ name, text: JSON.stringify(value) }))
    .sort((a, b) => b.text.length - a.text.length);
  let data: Readonly<Record<string, unknown>> = event.data;
  for (const { name, text: member } of members) {
    data = { ...data, [name]: { omitted: { bytes: Buffer.byteLength(member), sha256: sha256(member) } } };
    const shorter = JSON.stringify({ ...event, data });
    if (Buffer.byteLength(shorter) <= MAX_ENTRY_BYTES) return shorter;
  }
  throw new RangeError(`An event of kind ${event.kind} is too large for the log, even without its data`);
}
