import { createPublicKey } from 'node:crypto';
import type { AuditEvent, NewEvent } from '../audit/event.ts';
import { type VerifierKey, verifierKey } from '../audit/note.ts';
import { parseProof, verifyProof } from '../audit/proof.ts';
import { eventSchema } from '../audit/schema.ts';
import { instant } from '../instant.ts';
import { type Json, sha256 } from '../json.ts';
import { err, ok, type Result } from '../result.ts';
import { newId } from '../runtime.ts';
import { addEntries, addKit, entryDigests, type KitEntry, readKit } from '../store/kits.ts';
import type { KitRow } from '../store/rows.ts';
import { actorOf, type Broker } from './broker.ts';
import { evidenceOf } from './intend.ts';
import type { Refusal } from './refusal.ts';
import { refuse } from './refuse.ts';
import type { Caller, PrincipalCaller } from './verbs.ts';

type Answer<T> = Promise<Result<T, Refusal>>;

export type KitAsk = Omit<KitRow, 'sealedAt' | 'sealedBy'>;

/** What came of a replay. */
export interface Replayed {
  readonly replayed: number;
  readonly known: number;
  readonly codesReused: readonly { readonly code: number; readonly holder: string }[];
}

/** Kits that open grants while no broker can be reached: made known before, and brought into the log afterwards. */
export interface KitVerbs {
  /** For operators: names the key by which the kit's log will be believed. */
  register(caller: Caller, ask: KitAsk): Answer<KitRow>;
  /**
   * For operators: brings entries of a kit's log into ours, each once, one event for each. All of them or none: an entry
   * that is not what the kit signed, or is another than came before in its place, is named in the refusal.
   */
  replay(caller: Caller, id: string, proofs: readonly string[]): Answer<Replayed>;
}

/** The claim of whoever opens a kit that names the codes which he used: their numbers from 0, with commas. */
const CODES_CLAIM = 'codes';

export function createKitVerbs(broker: Broker): KitVerbs {
  return {
    register: (caller, ask) => register(broker, caller, ask),
    replay: (caller, id, proofs) => replay(broker, caller, id, proofs),
  };
}

async function register(broker: Broker, caller: Caller, ask: KitAsk): Answer<KitRow> {
  const request = 'register-kit';
  const no = (refusal: Refusal) => refuse(broker, caller, {}, request, refusal);
  if (caller.kind !== 'principal' || !caller.roles.has('operator')) return no(NOT_AN_OPERATOR);
  const { database, runtime } = broker;
  const now = runtime.now();
  const unknown = ask.grants.find((grant) => !broker.grants.has(grant));
  if (unknown !== undefined) return no(invalid(`There is no grant ${JSON.stringify(unknown)}`));
  if (ask.threshold > ask.holders.length) return no(invalid('It takes more codes than there are holders'));
  if (ask.expiresAt <= now) return no(invalid('It has expired already'));
  if (publicKeyOf(ask.logKey) === null) return no(invalid('The key of its log is no Ed25519 key'));
  if (!(await useEvidence(broker, caller))) return no(REPLAYED);
  const { issuer, subject } = caller.principal;
  const row: KitRow = { ...ask, sealedAt: now, sealedBy: { issuer, subject } };
  const { id, threshold, holders, grants, logKey } = row;
  const made = await addKit(database, runtime, row, {
    kind: 'kit.sealed',
    actor: actorOf(caller),
    about: {},
    data: { id, threshold, holders, grants, expiresAt: instant(row.expiresAt), logKey },
  });
  return made ? ok(row) : no(invalid('There is a kit of this id'));
}

async function replay(
  broker: Broker,
  caller: Caller,
  id: string,
  proofs: readonly string[],
): Answer<Replayed> {
  const no = (refusal: Refusal) => refuse(broker, caller, {}, 'replay-kit', refusal);
  if (caller.kind !== 'principal' || !caller.roles.has('operator')) return no(NOT_AN_OPERATOR);
  const kit = await readKit(broker.database, id);
  if (kit === null) return no({ reason: 'not-found', detail: 'There is no such kit' });
  const read = readEntries(kit, proofs);
  if (!read.ok) return no(invalid(read.error));
  const { log, entries } = read.value;
  const before = await entryDigests(
    broker.database,
    kit.id,
    log,
    entries.map(({ index }) => index),
  );
  const other = entries.find(({ index, digest }) => (before.get(index) ?? digest) !== digest);
  if (other !== undefined) {
    broker.log.error({ kit: kit.id, log, entry: other.index }, 'a kit has two logs of one name');
    return no(invalid(`Entry ${other.index} is another than the one that came before: the log was forked`));
  }
  if (!(await useEvidence(broker, caller))) return no(REPLAYED);
  const fresh = entries.filter(({ index }) => !before.has(index));
  const made = await addEntries(broker.database, broker.runtime, {
    kit: kit.id,
    log,
    entries: fresh.map((entry) => entryToAdd(kit, log, entry, caller)),
  });
  const codesReused = made.reused.map((code) => ({ code, holder: kit.holders[code] ?? '?' }));
  if (codesReused.length > 0)
    broker.log.error({ kit: kit.id, log, codesReused }, 'single-use codes of a kit were used twice');
  return ok({ replayed: made.added, known: entries.length - made.added, codesReused });
}

interface Entry {
  readonly index: number;
  readonly digest: string;
  readonly event: AuditEvent;
}

/** The entries that proofs bring along, in their order, when the kit's own key vouches for each. */
function readEntries(
  kit: KitRow,
  proofs: readonly string[],
): Result<{ readonly log: string; readonly entries: readonly Entry[] }, string> {
  const key = publicKeyOf(kit.logKey);
  if (key === null) return err('The key of the kit cannot be read');
  const entries = new Map<number, Entry>();
  let log: string | null = null;
  for (const [i, text] of proofs.entries()) {
    const proof = parseProof(text);
    if (!proof.ok) return err(`Proof ${i} cannot be read: ${proof.error}`);
    const { index, checkpoint } = proof.value;
    const { origin } = checkpoint;
    if (!origin.includes(`/offline/${kit.id}/`)) return err(`Entry ${index} is of the log of something else`);
    log ??= origin;
    if (origin !== log) return err(`Entry ${index} is of another log than those before it`);
    const bytes = verifyProof(proof.value, [namedKey(origin, key)]);
    if (!bytes.ok) return err(`Entry ${index} is not what the kit signed: ${bytes.error}`);
    const event = readEvent(bytes.value);
    if (event === null) return err(`Entry ${index} is no event`);
    entries.set(index, { index, digest: sha256(bytes.value), event });
  }
  return ok({ log: log ?? '', entries: [...entries.values()].sort((a, b) => a.index - b.index) });
}

function readEvent(bytes: Uint8Array): AuditEvent | null {
  try {
    const event = eventSchema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    return event.success ? (event.data as unknown as AuditEvent) : null;
  } catch {
    return null;
  }
}

/** What is written of an entry: the event that brings it in, and the codes that it used, each with its alarm. */
function entryToAdd(
  kit: KitRow,
  log: string,
  { index, digest, event }: Entry,
  caller: PrincipalCaller,
): KitEntry {
  const told: NewEvent = {
    kind: 'offline.replayed',
    actor: actorOf(caller),
    about: event.about,
    data: { kit: kit.id, log, index, event: event as unknown as Json },
  };
  return {
    index,
    digest,
    event: told,
    codes: codesOf(event).map((code) => ({
      code,
      alarm: {
        kind: 'kit.code-reused',
        actor: { kind: 'system' },
        about: event.about,
        data: { kit: kit.id, code, holder: kit.holders[code] ?? '?', log, index },
      },
    })),
  };
}

function codesOf(event: AuditEvent): number[] {
  if (event.kind !== 'task.opened') return [];
  const claims = event.data.claims as Readonly<Record<string, Json>>;
  const text = claims?.[CODES_CLAIM];
  return typeof text === 'string' && /^\d{1,3}(,\d{1,3})*$/.test(text) ? text.split(',').map(Number) : [];
}

function publicKeyOf(base64: string) {
  try {
    const x = Buffer.from(base64, 'base64').toString('base64url');
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  } catch {
    return null;
  }
}

function namedKey(origin: string, key: NonNullable<ReturnType<typeof publicKeyOf>>): VerifierKey {
  return verifierKey(origin, key);
}

async function useEvidence(broker: Broker, caller: Caller): Promise<boolean> {
  const used = await broker.committer.commit({ ...evidenceOf(caller, newId(broker.runtime)), events: [] });
  return used.ok;
}

function invalid(detail: string): Refusal {
  return { reason: 'invalid-request', detail };
}

const NOT_AN_OPERATOR: Refusal = { reason: 'not-allowed', detail: 'It takes the role operator' };
const REPLAYED: Refusal = {
  reason: 'unauthenticated',
  detail: 'replayed: the evidence may be used once, and was used before',
};
