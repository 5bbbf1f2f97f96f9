import { z } from 'zod';
import { ProviderError } from '../../errors.ts';
import type { Json } from '../../json.ts';
import type { Runtime } from '../../runtime.ts';
import type { Ended, Ending, Minted, Terms } from '../provider.ts';
import type { Connection } from './connection.ts';
import {
  MAX_KEPT_BYTES,
  MAX_PAGE_NAMES,
  MAX_PAGES,
  MAX_SECRET_MEMBERS,
  MAX_SECRET_TEXT,
  SHORTEST_SECRET,
} from './limits.ts';
import type { HttpScope } from './settings.ts';

const kept = z
  .json()
  .refine((value) => JSON.stringify(value).length <= MAX_KEPT_BYTES, `is larger than ${MAX_KEPT_BYTES} bytes`)
  .default(null);

const mintedSchema = z.strictObject({
  secret: z.strictObject({
    type: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,31}$/)
      .default('http'),
    values: z
      .record(z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/), z.string().max(MAX_SECRET_TEXT))
      .refine((values) => {
        const count = Object.keys(values).length;
        return count > 0 && count <= MAX_SECRET_MEMBERS;
      }, `must have 1 to ${MAX_SECRET_MEMBERS} members`),
    /** Members that are no secret: a user name, an id. */
    open: z.array(z.string()).max(MAX_SECRET_MEMBERS).default([]),
  }),
  handle: kept,
  expires_at: z.iso.datetime({ offset: true }),
});

const endedSchema = z.strictObject({ ended: z.literal(true), found: z.boolean(), evidence: kept });
const extendedSchema = z.strictObject({ expires_at: z.iso.datetime({ offset: true }) });
const listedSchema = z.strictObject({
  names: z.array(z.string().max(200)).max(MAX_PAGE_NAMES),
  cursor: z.string().min(1).max(1_000).nullable().default(null),
});

export interface HttpContext {
  readonly runtime: Runtime;
  readonly connection: Connection;
}

const iso = (ms: number) => new Date(ms).toISOString();

export async function mint(
  { runtime, connection }: HttpContext,
  scope: HttpScope,
  terms: Terms,
  signal: AbortSignal,
): Promise<Minted> {
  if (runtime.now() >= terms.mintBefore)
    throw new ProviderError('target-refused', 'Cannot mint at the service: its time is over');
  const { issuer, subject, grant, task, taskId, purpose } = terms.context;
  const body = {
    lease: terms.leaseId,
    name: terms.name,
    scope,
    mint_before: iso(terms.mintBefore),
    expires_at: iso(terms.expiresAt),
    context: { issuer, subject, grant, task, task_id: taskId, purpose },
  };
  const { secret, handle, expires_at } = await connection.ask('mint', mintedSchema, wellFormed(body), signal);
  const expiresAt = Date.parse(expires_at);
  if (expiresAt > terms.expiresAt)
    throw new ProviderError(
      'target-failed',
      'Cannot use what the service made: it lives longer than was asked',
    );
  const text = JSON.stringify(handle);
  const { type, values, open } = secret;
  const secrets = Object.entries(values).filter(([member]) => !open.includes(member));
  // The handle is stored in clear.
  if (secrets.some(([, value]) => value.length >= SHORTEST_SECRET && holds(text, value)))
    throw new ProviderError('target-failed', 'Cannot use what the service made: its handle holds the secret');
  return { secret: { type, values }, handle, expiresAt };
}

/** Whether JSON text has a string in it, as JSON writes it. */
function holds(text: string, value: string): boolean {
  return text.includes(JSON.stringify(value).slice(1, -1));
}

/** Only the service's own word counts: `ended` must be true, and no other status or answer is success. */
export async function end({ connection }: HttpContext, ending: Ending, signal: AbortSignal): Promise<Ended> {
  const { leaseId, name, handle, expiresAt } = ending;
  const body = { lease: leaseId, name, handle, expires_at: iso(expiresAt) };
  const { found, evidence } = await connection.ask('end', endedSchema, body, signal);
  return { found, evidence: { confirmed: true, said: evidence } };
}

export async function extend(
  { connection }: HttpContext,
  { leaseId, name, handle }: Ending,
  expiresAt: number,
  signal: AbortSignal,
): Promise<void> {
  const body = { lease: leaseId, name, handle, expires_at: iso(expiresAt) };
  const answer = await connection.ask('extend', extendedSchema, body, signal);
  if (Date.parse(answer.expires_at) !== expiresAt)
    throw new ProviderError(
      'target-failed',
      'Cannot extend at the service: it set another end than was asked',
    );
}

export async function* inventory(
  { connection }: HttpContext,
  mark: string,
  signal: AbortSignal,
): AsyncIterable<{ readonly name: string }> {
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAGES; page++) {
    const body: Json = { mark, cursor };
    const listed: z.infer<typeof listedSchema> = await connection.ask('list', listedSchema, body, signal);
    // What is not ours would be ended as an orphan: the service's filter is not trusted with that.
    for (const name of listed.names) if (name.startsWith(mark)) yield { name };
    cursor = listed.cursor;
    if (cursor === null) return;
  }
  throw new ProviderError('target-failed', `Cannot list at the service: it has more than ${MAX_PAGES} pages`);
}

/** Texts from outside may be no Unicode; a service's parser need not put up with that. */
function wellFormed(body: Json): Json {
  return JSON.parse(JSON.stringify(body).replaceAll(/\\ud[89a-f][0-9a-f]{2}/gi, '\\ufffd')) as Json;
}
