import { deepEqual } from 'node:assert/strict';
import type { AuditEvent } from '../../src/audit/event.ts';
import type { Secret } from '../../src/providers/provider.ts';
import type { Database } from '../../src/store/database.ts';
import { listEvents } from '../../src/store/events.ts';
import { listLeases } from '../../src/store/leases.ts';
import type { LeaseRow } from '../../src/store/rows.ts';

/** What is so at a target, by its own record. */
export interface WitnessedTarget {
  /** What exists, by name. Denied credentials stay, with `denied` set. */
  readonly live: ReadonlyMap<
    string,
    { readonly name: string; readonly expiresAt: number; readonly denied: boolean }
  >;
  /** All that was ever made: `username` is its name, and `password` the secret, where it is known. */
  readonly minted: readonly Secret[];
  readonly provider: { readonly targetExpires: boolean };
}

/** What there was to see from outside, beside the database. */
export interface Witness {
  readonly now: number;
  readonly worlds: Readonly<Record<string, WitnessedTarget>>;
  /** How the names of our credentials begin. */
  readonly mark: string;
  /** The process logs of all brokers that ran. */
  readonly logged: readonly string[];
  /** Secrets that are to be found nowhere, beside those that the worlds minted: tasks' tokens. */
  readonly secrets?: readonly string[];
}

/** A letter for each event of a lease, so that its story is a word. */
const LETTERS: Readonly<Record<string, string>> = {
  'lease.intended': 'i',
  'lease.issued': 's',
  'lease.renewed': 'r',
  'lease.redelivered': 'd',
  'lease.mint-failed': 'f',
  'lease.ending': 'e',
  'lease.end-failed': 'x',
  'lease.overdue': 'o',
  'lease.ended': 'z',
};

/** The stories that a lease in each state can have behind it. Only a mint that had no effect ends without an ending. */
const STORIES: Readonly<Record<LeaseRow['state'], RegExp>> = {
  minting: /^i$/,
  active: /^is[rd]*$/,
  ending: /^i(s[rd]*|f)?e[xo]*$/,
  ended: /^i((s[rd]*|f)?e[xo]*z|fz)$/,
};

/** Throws when something does not hold that always should. */
export async function checkInvariants(database: Database, witness: Witness): Promise<void> {
  deepEqual(await invariantFaults(database, witness), []);
}

/**
 * Checks everything that always holds, over the whole database and every world. Faults are gathered, so that one run
 * shows all of them; each names its invariant.
 */
export async function invariantFaults(database: Database, witness: Witness): Promise<string[]> {
  const leases = await listLeases(database, {}, null, 100_000);
  const events = (await listEvents(database, {}, null, 1_000_000)).map((row) => row.event);
  const byLease = grouped(events, (event) => event.about.lease);
  const minted = mintedNames(witness);
  return [
    ...worldFaults(leases, witness),
    ...leases.flatMap((lease) => [
      ...outcomeFaults(lease, witness, minted),
      ...storyFaults(lease, byLease.get(lease.id) ?? []),
    ]),
    ...(await taskFaults(database, events)),
    ...(await canaryFaults(database, witness)),
    ...(await quotaFaults(database)),
  ];
}

function grouped(
  events: readonly AuditEvent[],
  keyOf: (event: AuditEvent) => string | undefined,
): ReadonlyMap<string, AuditEvent[]> {
  const groups = new Map<string, AuditEvent[]>();
  for (const event of events) {
    const key = keyOf(event);
    if (key === undefined) continue;
    const group = groups.get(key);
    if (group) group.push(event);
    else groups.set(key, [event]);
  }
  return groups;
}

/** The names of all that was ever made, each with its target before it. */
function mintedNames({ worlds }: Witness): ReadonlySet<string> {
  return new Set(
    Object.entries(worlds).flatMap(([target, { minted }]) =>
      minted.map(({ values }) => `${target}/${values.username}`),
    ),
  );
}

/** Invariants 1, 2: what lives at a target has a lease that lives, and does not outlive it there. */
function worldFaults(leases: readonly LeaseRow[], { worlds, mark, now }: Witness): string[] {
  const byName = new Map(leases.map((lease) => [lease.name, lease]));
  return Object.entries(worlds).flatMap(([target, world]) =>
    [...world.live.values()].flatMap((credential) => {
      if (!credential.name.startsWith(mark) || credential.denied) return [];
      const lapsed = world.provider.targetExpires && credential.expiresAt <= now;
      const lease = byName.get(credential.name);
      const faults: string[] = [];
      if (!lapsed && (lease === undefined || lease.state === 'ended')) {
        faults.push(`2: ${credential.name} lives at ${target}, its lease is ${lease?.state ?? 'not there'}`);
      }
      if (lease && credential.expiresAt > lease.expiresAt && lease.state === 'active') {
        faults.push(`2: ${credential.name} outlives its lease at ${target}`);
      }
      return faults;
    }),
  );
}

/** Invariant 3: an outcome is true by the world's own record. */
function outcomeFaults(
  lease: LeaseRow,
  { worlds, now }: Witness,
  mintedNames: ReadonlySet<string>,
): string[] {
  const world = worlds[lease.target];
  if (lease.state !== 'ended' || world === undefined) return [];
  const minted = mintedNames.has(`${lease.target}/${lease.name}`);
  const live = world.live.get(lease.name);
  const lie = (what: string) => [`3: ${lease.id} is said to be ${lease.outcome}, but ${what}`];
  switch (lease.outcome) {
    case 'never-minted':
      return minted ? lie('it was minted') : [];
    case 'revoked':
      return live !== undefined ? lie('it is there') : [];
    case 'denied':
      return live !== undefined && !live.denied ? lie('it is not denied') : [];
    case 'expired':
      if ((lease.endedAt ?? 0) < lease.expiresAt) return lie('its instant had not come');
      return live !== undefined && live.expiresAt > now ? lie('it has not lapsed') : [];
    default:
      return lie('that is no outcome');
  }
}

/** Invariant 4: each lease's events tell a legal story, and the one that its row stands for. */
function storyFaults(lease: LeaseRow, events: readonly AuditEvent[]): string[] {
  const own = events.filter((event) => event.kind in LETTERS);
  const story = own.map((event) => LETTERS[event.kind]).join('');
  if (!STORIES[lease.state].test(story)) return [`4: ${lease.id} is ${lease.state}, its story is "${story}"`];
  const last = own.at(-1);
  if (last?.kind === 'lease.ended' && last.data.outcome !== lease.outcome) {
    return [`4: ${lease.id} ended as ${lease.outcome}, the log says ${last.data.outcome}`];
  }
  return [];
}

/** Invariant 4, for tasks: opened once, ended once, and no lease lives on in a task that has ended. */
async function taskFaults(database: Database, events: readonly AuditEvent[]): Promise<string[]> {
  const tasks = await database.query<{ id: string; state: string; alive: number }>(
    {
      name: 'test_tasks',
      text: `select id, state, (select count(*)::int from lease l where l.task_id = t.id and l.state in ('minting', 'active')) as alive
             from task t`,
    },
    [],
  );
  const byTask = grouped(events, (event) => event.about.task);
  return tasks.flatMap(({ id, state, alive }) => {
    const count = (kind: string) => (byTask.get(id) ?? []).filter((event) => event.kind === kind).length;
    const ends = count('task.ended');
    const faults: string[] = [];
    if (count('task.opened') !== 1) faults.push(`4: task ${id} was opened ${count('task.opened')} times`);
    if (ends !== (state === 'ended' ? 1 : 0))
      faults.push(`4: task ${id} is ${state}, and was ended ${ends} times`);
    if (state === 'ended' && alive > 0) faults.push(`2: task ${id} has ended with ${alive} leases alive`);
    return faults;
  });
}

/** Invariant 5: no secret is anywhere in the database, whose rows are all read as text, or in a log. */
async function canaryFaults(database: Database, witness: Witness): Promise<string[]> {
  const secrets = Object.values(witness.worlds)
    .flatMap((world) => world.minted.flatMap(({ values }) => values.password ?? []))
    .concat(witness.secrets ?? []);
  const dump = await dumpAll(database);
  const log = witness.logged.join('\n');
  return [
    ...secretsIn(dump, secrets).map(() => '5: a secret is in the database'),
    ...secretsIn(log, secrets).map(() => '5: a secret is in a process log'),
  ];
}

/** Which of these stand in the text. One pass over it, however many they are, where they are too many to look for one by one. */
export function secretsIn(text: string, secrets: readonly string[]): string[] {
  if (secrets.length < 200) return secrets.filter((secret) => text.includes(secret));
  const length = Math.min(...secrets.map((secret) => secret.length));
  const beginnings = new Map(secrets.map((secret) => [secret.slice(0, length), secret]));
  const found = new Set<string>();
  for (let at = 0; at + length <= text.length; at++) {
    const secret = beginnings.get(text.slice(at, at + length));
    if (secret !== undefined && text.startsWith(secret, at)) found.add(secret);
  }
  return [...found];
}

/** Every row of every table as text. */
export async function dumpAll(database: Database): Promise<string> {
  const tables = await database.query<{ name: string }>(
    { name: 'test_tables', text: "select tablename as name from pg_tables where schemaname = 'public'" },
    [],
  );
  const dumps: string[] = [];
  // One by one: where they are large, the last would wait too long for a connection.
  for (const { name } of tables) {
    const rows = await database.query<{ row: string }>(
      { name: `test_dump_${name}`, text: `select t::text as row from "${name}" t` },
      [],
    );
    dumps.push(rows.map(({ row }) => row).join('\n'));
  }
  return dumps.join('\n');
}

/** The counters behind the limits say what the leases say. */
async function quotaFaults(database: Database): Promise<string[]> {
  const rows = await database.query<{ key: string; live: number; counted: number }>(
    {
      name: 'test_quotas',
      text: `select key, live, (select count(*)::int from lease l
               where l.counted and l.state <> 'ended' and 'grant:' || l.grant_name = q.key) as counted from quota q`,
    },
    [],
  );
  return rows.flatMap(({ key, live, counted }) =>
    live === counted ? [] : [`10: the counter "${key}" says ${live} live leases, there are ${counted}`],
  );
}
