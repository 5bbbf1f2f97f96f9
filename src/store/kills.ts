import { getTableColumns } from 'drizzle-orm';
import type { NewEvent } from '../audit/event.ts';
import { instant } from '../instant.ts';
import type { Runtime } from '../runtime.ts';
import type { EvidenceUse } from './commit.ts';
import { type Database, type Statement, sqlState } from './database.ts';
import { logWhere, recordOf } from './logged.ts';
import { rowReader, type StoredRow } from './mapping.ts';
import type { Identity, KillMatch, KillRow } from './rows.ts';
import { kill } from './schema.ts';

/** What is left of what a kill matched, at one target. */
export interface KillRest {
  readonly target: string;
  readonly left: number;
  /** Those of them whose ending failed at least once. */
  readonly failing: number;
  /** When the last of them expires. */
  readonly latestExpiry: number;
}

/** Blocks that can stand at once: each commit that begins a lease reads them. */
const MAX_BLOCKS = 1_000;

/** Leases or tasks that one statement makes due: bounds what it locks, and for how long. */
const MARK_BATCH = 50_000;

/** Statements that make due at the same time, each a batch of its own. */
const MARKERS = 2;

const toKill = rowReader<KillRow>(getTableColumns(kill));

/**
 * Orders a kill, and uses up the evidence that it rests on: both or neither. From its commit on, nothing that it
 * matches begins or is kept alive. What was begun before is there to be marked: every commit that begins a lease holds
 * the gate until it is visible. Refused where too many blocks stand, or the evidence was used before.
 */
export async function orderKill(
  database: Database,
  runtime: Runtime,
  row: KillRow,
  evidence: readonly Pick<EvidenceUse, 'id' | 'keepUntil'>[],
  event: NewEvent,
): Promise<'ordered' | 'full' | 'replayed'> {
  const { id, issuer, subject, grant, target, task } = row;
  const parameters = [
    JSON.stringify([{ id, issuer, subject, grant, target, task }]),
    recordOf(runtime, event),
    MAX_BLOCKS,
    id,
    instant(row.orderedAt),
    JSON.stringify(row.orderedBy),
    row.reason,
    issuer,
    subject,
    grant,
    target,
    task,
    JSON.stringify(evidence.map((use) => ({ id: use.id, keepUntil: instant(use.keepUntil) }))),
    row.liftsAt === null ? null : instant(row.liftsAt),
  ];
  try {
    const [answer] = await database.query<{ made: boolean; replayed: boolean }>(ORDER, parameters);
    if (answer?.made) return 'ordered';
    return answer?.replayed ? 'replayed' : 'full';
  } catch (error) {
    // Somebody used the same evidence in this very moment.
    if (sqlState(error) === '23505') return 'replayed';
    throw error;
  }
}

const ORDER: Statement = {
  name: 'order_kill',
  text: `
    with evidence as (select * from json_to_recordset($13::json) as x("id" text, "keepUntil" timestamptz)),
    replayed as (select 1 as one from evidence e join used_evidence u on u.id = e.id),
    gated as (
      update gate set blocks = blocks || $1::jsonb
      where jsonb_array_length(blocks) < $3::int and not exists (select from replayed) returning 1 as one),
    used as (
      insert into used_evidence (id, used_for, keep_until)
      select e.id, $4, e."keepUntil" from evidence e where exists (select from gated)),
    made as (
      insert into kill (id, ordered_at, ordered_by, reason, issuer, subject, grant_name, target, task_id, lifts_at)
      select $4, $5, $6::jsonb, $7, $8, $9, $10, $11, $12, $14 from gated returning id),
    ${logWhere('made')}
    select exists (select from made) as made, exists (select from replayed) as replayed`,
};

/** Lifts the block of a kill that was carried out. False: it is not there, or was lifted, or is not carried out yet. */
export async function liftBlock(
  database: Database,
  runtime: Runtime,
  id: string,
  lift: { readonly at: number; readonly by: Identity; readonly reason: string },
  event: NewEvent,
): Promise<boolean> {
  const lifted = await database.query(LIFT, [
    id,
    recordOf(runtime, event),
    instant(lift.at),
    JSON.stringify(lift.by),
    lift.reason,
  ]);
  return lifted.length > 0;
}

const LIFT: Statement = {
  name: 'lift_block',
  text: `
    with lifted as (
      update kill set lifted_at = $3, lifted_by = $4::jsonb, lift_reason = $5
      where id = $1 and lifted_at is null and marked_at is not null returning id),
    opened as (
      update gate set blocks = coalesce(
        (select jsonb_agg(b) from jsonb_array_elements(gate.blocks) b where b ->> 'id' <> $1), '[]')
      where exists (select from lifted)),
    ${logWhere('lifted')}
    select id from lifted`,
};

/**
 * Makes due what a kill matches: the leases first, then open tasks unless it is about a target. Idempotent: whoever
 * finds a kill that is not marked calls it again. The lease keeps its state: what is due is taken to its end by the
 * reaper. `batch` is how many rows one statement makes due.
 */
export async function markKill(
  database: Database,
  row: KillRow,
  now: number,
  batch = MARK_BATCH,
): Promise<void> {
  for (const table of row.target === null ? (['lease', 'task'] as const) : (['lease'] as const)) {
    await markAll(database, row, now, table, 'holds', batch);
    if (row.issuer !== null) await markAll(database, row, now, table, 'acts', batch);
  }
}

/** As whom a kill looks for somebody: as whose the credentials are, or as who acts for him, in tasks that go on or `acted` in any. */
type As = 'holds' | 'acts' | 'acted';

async function markAll(
  database: Database,
  row: KillRow,
  now: number,
  table: 'task' | 'lease',
  as: As,
  batch: number,
): Promise<void> {
  const { where, values } = matchOf(row, table, as, 5);
  const statement = {
    name: `mark_${table}_${Object.keys(values).join('_')}`,
    text: table === 'lease' ? markLeases(where) : markTasks(where),
  };
  async function mark(skipped: number): Promise<boolean> {
    const parameters = [row.id, instant(now), batch, skipped, ...Object.values(values)];
    try {
      const [pass] = await database.query<{ found: number }>(statement, parameters);
      return pass?.found === 0;
    } catch (error) {
      // Two that lock several rows each can meet head-on; the statement was undone, and is sent again.
      if (sqlState(error) === '40P01' || sqlState(error) === '40001') return false;
      throw error;
    }
  }
  // Which rows are whose depends on the plan. Where two markers meet, one waits, and passes over what the other marked.
  const pass = () => Promise.all(Array.from({ length: MARKERS }, (_, marker) => mark(marker * batch)));
  while ((await pass()).includes(false));
}

/**
 * What is changed while it is being marked is passed over, and found again by the next pass as it then is. Rows are
 * locked in the order of their ids, as every commit locks them: the two wait for each other, and never head-on.
 */
function findUnmarked(table: 'task' | 'lease', where: string): string {
  return `
    found as materialized (
      select ctid from ${table} where end_reason is null and ${where}
        and exists (select from kill where id = $1 and marked_at is null) limit $3 offset $4),
    locked as materialized (
      select ctid from ${table} where ctid = any (array (select ctid from found)) order by id for update)`;
}

// What is being minted may come into being until its window is over: it stays due at that moment.
function markLeases(where: string): string {
  return `
    with ${findUnmarked('lease', where)},
    marked as (
      update lease set end_reason = 'killed', version = version + 1,
        due_at = case when state = 'minting' then due_at else least(due_at, $2::timestamptz) end
      where ctid = any (array (select ctid from locked)) and end_reason is null returning 1),
    counted as (update kill set leases = leases + (select count(*) from marked) where id = $1)
    select count(*)::int as found from found`;
}

function markTasks(where: string): string {
  return `
    with ${findUnmarked('task', where)},
    marked as (
      update task set end_reason = 'killed', version = version + 1,
        expires_at = least(expires_at, $2::timestamptz)
      where ctid = any (array (select ctid from locked)) and end_reason is null returning 1),
    counted as (update kill set tasks = tasks + (select count(*) from marked) where id = $1)
    select count(*)::int as found from found`;
}

/** The condition of a match, with its values as parameters from `first` on. Its text depends on which members are there alone. */
function matchOf(
  match: KillMatch,
  table: 'task' | 'lease',
  as: As,
  first: number,
): { readonly where: string; readonly values: Readonly<Record<string, string>> } {
  const columns = {
    ...(as === 'holds' ? { issuer: match.issuer, subject: match.subject } : { actors: actorsOf(match) }),
    grant_name: match.grant,
    target: table === 'lease' ? match.target : null,
    [table === 'lease' ? 'task_id' : 'id']: match.task,
  };
  const values = Object.fromEntries(
    Object.entries(columns).filter((entry): entry is [string, string] => entry[1] !== null),
  );
  const terms = Object.keys(values).map((column, at) =>
    column === 'actors' ? actorIn(table, as, first + at) : `${column} = $${first + at}`,
  );
  return { where: terms.length === 0 ? 'true' : terms.join(' and '), values };
}

/** Somebody among those who act in a task, as a part of its principal. */
function actorsOf({ issuer, subject }: KillMatch): string {
  return JSON.stringify([{ issuer, ...(subject === null ? {} : { subject }) }]);
}

/** That he acts in the task, or in that of the lease. A task that nothing ends yet has all the leases that nothing ends. */
function actorIn(table: 'task' | 'lease', as: As, parameter: number): string {
  const acts = `principal ? 'actors' and principal -> 'actors' @> $${parameter}::jsonb`;
  if (table === 'task') return acts;
  return as === 'acted'
    ? `exists (select from task where id = lease.task_id and ${acts})`
    : `task_id = any (array (select id from task where end_reason is null and ${acts}))`;
}

/** All that it matches has been made due. */
export async function finishKill(
  database: Database,
  runtime: Runtime,
  id: string,
  now: number,
  event: (row: KillRow) => NewEvent,
): Promise<KillRow | null> {
  const row = await readKill(database, id);
  if (row === null) return null;
  await database.query(FINISH, [id, recordOf(runtime, event(row)), instant(now)]);
  return readKill(database, id);
}

const FINISH: Statement = {
  name: 'finish_kill',
  text: `
    with finished as (
      update kill set marked_at = $3 where id = $1 and marked_at is null returning id),
    ${logWhere('finished')}
    select id from finished`,
};

export async function readKill(database: Database, id: string): Promise<KillRow | null> {
  const rows = await database.query<StoredRow>(
    { name: 'kill_by_id', text: 'select * from kill where id = $1' },
    [id],
  );
  return rows[0] === undefined ? null : toKill(rows[0]);
}

/** Kills that somebody ordered and did not live to carry out. */
export async function unmarkedKills(database: Database): Promise<KillRow[]> {
  const rows = await database.query<StoredRow>(
    { name: 'unmarked_kills', text: 'select * from kill where marked_at is null order by id limit 100' },
    [],
  );
  return rows.map(toKill);
}

/** Kills whose block was to stand until now. */
export async function lapsedBlocks(database: Database, now: number): Promise<KillRow[]> {
  const rows = await database.query<StoredRow>(
    {
      name: 'lapsed_blocks',
      text: `select * from kill where lifts_at <= $1 and lifted_at is null and marked_at is not null
             order by lifts_at limit 100`,
    },
    [instant(now)],
  );
  return rows.map(toKill);
}

/** The blocks that stand, oldest first. */
export async function standingBlocks(database: Database): Promise<KillRow[]> {
  const rows = await database.query<StoredRow>(
    {
      name: 'standing_blocks',
      text: `select k.* from gate, jsonb_array_elements(blocks) b join kill k on k.id = b ->> 'id' order by k.id`,
    },
    [],
  );
  return rows.map(toKill);
}

/** What has not ended of what a kill matches and was killed, target by target. */
export async function restOfKill(database: Database, row: KillRow): Promise<KillRest[]> {
  const held = matchOf(row, 'lease', 'holds', 1);
  const heldValues = Object.values(held.values);
  const acted = row.issuer === null ? null : matchOf(row, 'lease', 'acted', heldValues.length + 1);
  const where = acted === null ? held.where : `(${held.where} or ${acted.where})`;
  const rows = await database.query<{ target: string; left: number; failing: number; latest: string }>(
    {
      name: `rest_of_kill_${Object.keys(held.values).join('_')}`,
      text: `
        select target, count(*)::int as left, (count(*) filter (where state = 'ending' and attempts > 1))::int as failing,
          (extract(epoch from max(expires_at)) * 1000)::bigint::text as latest
        from lease where end_reason = 'killed' and state <> 'ended' and ${where} group by target order by target`,
    },
    [...heldValues, ...Object.values(acted?.values ?? {})],
  );
  return rows.map(({ target, left, failing, latest }) => ({
    target,
    left,
    failing,
    latestExpiry: Number(latest),
  }));
}
