import type { Statement } from './database.ts';

/**
 * The statement of the group commit, put together from the parts that a group has. It takes the clock ($1), and for
 * each part an array of JSON, one element for each row, naming its unit: the number of the change within the group. It
 * answers the units that it refused, and why; all others are done.
 *
 * Rows to be changed are locked in the order of their ids before anything is decided, so the decision holds until
 * the commit. Stored rows are named by arrays of their keys, never by a join alone: whatever the planner believes of
 * the tables, it then looks up each key in the index, and no plan reads a table through. A unit is refused whole.
 * Unique keys stay the last word between replicas: a collision fails the statement, and the caller sends it again.
 */
export function commitStatement(parts: readonly CommitPart[]): Statement {
  const name = `commit_group_${parts.map((part) => COMMIT_PARTS.indexOf(part).toString(36)).join('')}`;
  const known = statements.get(name);
  if (known !== undefined) return known;
  const statement = { name, text: textOf(parts) };
  statements.set(name, statement);
  return statement;
}

const statements = new Map<string, Statement>();

/** Says of a unit that it can be: a look into a hash of those that cannot, which is nearly always empty. */
const GOOD = 'not in (select unit from refused)';

/** Rows of one kind, and what the statement does with them. */
interface Part {
  /** What the rows are called in the statement. */
  readonly rows: string;
  readonly columns: string;
  /** Tables: what is stored of them, locked where it will change. */
  readonly finds?: readonly string[];
  /** Queries for the units that cannot be, with the conflict. They are asked, and so the rows locked, in this order. */
  readonly refuses?: readonly string[];
  /** Tables: what is written of the units that can be. */
  readonly writes: readonly string[];
}

/** The stored rows that will change, locked; with what else is to be known of them. */
function lockedRows(rows: string, table: string, also?: string): string {
  const columns = also === undefined ? 'id, version' : `id, version, ${also}`;
  return `locked_${table} as (
    select ${columns} from ${table} where id = any(array(select id from ${rows})) order by id for update)`;
}

/** The units that change a row which is not at the version that they saw. */
function otherVersions(rows: string, table: string): string {
  return `select c.unit, 'version' from ${rows} c left join locked_${table} k on k.id = c.id
    where k.version is distinct from c.version`;
}

const evidence: Part = {
  rows: 'evidence',
  columns: '"id" text, "usedFor" text, "keepUntil" timestamptz',
  finds: [
    `used_before as materialized (
      select id, used_for from used_evidence where id = any(array(select id from evidence)))`,
  ],
  refuses: [
    `select e.unit, 'replayed' from evidence e join used_before u on u.id = e.id where u.used_for <> e."usedFor"`,
  ],
  writes: [
    `use_evidence as (
      insert into used_evidence (id, used_for, keep_until)
      select e.id, e."usedFor", e."keepUntil" from evidence e
      where e.unit ${GOOD} and e.id not in (select id from used_before))`,
  ],
};

const newTasks: Part = {
  rows: 'new_task',
  columns: `"id" text, "version" int, "state" text, "grant" text, "grantVersion" text, "taskGrantId" text, "name" text,
    "purpose" text, "parameters" jsonb, "issuer" text, "subject" text, "principal" jsonb, "tokenHash" text,
    "sealedToken" text, "publicKey" jsonb, "idempotencyKey" text, "requestDigest" text, "openedAt" timestamptz,
    "expiresAt" timestamptz, "heartbeatSeconds" int, "heartbeatDueAt" timestamptz, "cnf" jsonb, "ticket" text,
    "practice" boolean`,
  refuses: [
    `select n.unit, 'repeated' from new_task n
      where n."idempotencyKey" = any(array(
        select idempotency_key from task where idempotency_key = any(array(select "idempotencyKey" from new_task))))`,
  ],
  writes: [
    `open_task as (
      insert into task (id, version, state, grant_name, grant_version, task_grant_id, name, purpose, parameters, issuer,
        subject, principal, token_hash, sealed_token, public_key, idempotency_key, request_digest, opened_at,
        expires_at, heartbeat_seconds, heartbeat_due_at, cnf, ticket, practice)
      select n.id, n.version, n.state, n."grant", n."grantVersion", n."taskGrantId", n.name, n.purpose, n.parameters,
        n.issuer, n.subject, n.principal, n."tokenHash", n."sealedToken", n."publicKey", n."idempotencyKey",
        n."requestDigest", n."openedAt", n."expiresAt", n."heartbeatSeconds", n."heartbeatDueAt", n.cnf, n.ticket,
        n.practice
      from new_task n where n.unit ${GOOD})`,
  ],
};

const changedTasks: Part = {
  rows: 'changed_task',
  columns: `"id" text, "version" int, "state" text, "expiresAt" timestamptz, "heartbeatDueAt" timestamptz,
    "endedAt" timestamptz, "endReason" text, "exitStatus" int`,
  finds: [lockedRows('changed_task', 'task')],
  refuses: [otherVersions('changed_task', 'task')],
  writes: [
    `change_task as (
      update task t set version = t.version + 1, state = c.state, expires_at = c."expiresAt",
        heartbeat_due_at = c."heartbeatDueAt", ended_at = c."endedAt", end_reason = c."endReason",
        exit_status = c."exitStatus"
      from changed_task c
      where c.unit ${GOOD} and t.id = c.id and t.id = any(array(select id from changed_task)))`,
  ],
};

const changedLeases: Part = {
  rows: 'changed_lease',
  columns: `"id" text, "version" int, "state" text, "issuedAt" timestamptz, "expiresAt" timestamptz,
    "dueAt" timestamptz, "handle" jsonb, "sealed" text, "endReason" text, "endingSince" timestamptz, "attempts" int,
    "lastError" text, "endedAt" timestamptz, "outcome" text, "evidence" jsonb, "use" jsonb`,
  finds: [lockedRows('changed_lease', 'lease', 'issuer, subject, grant_name, target, task_id')],
  refuses: [
    otherVersions('changed_lease', 'lease'),
    `select c.unit, 'blocked' from changed_lease c join locked_lease k using (id) join block b
      on coalesce(b.issuer, k.issuer) = k.issuer and coalesce(b.subject, k.subject) = k.subject
      and coalesce(b."grant", k.grant_name) = k.grant_name and coalesce(b.target, k.target) = k.target
      and coalesce(b.task, k.task_id) = k.task_id
      where c.state = 'active'`,
  ],
  writes: [
    `change_lease as (
      update lease l set version = l.version + 1, state = c.state, issued_at = c."issuedAt", expires_at = c."expiresAt",
        due_at = c."dueAt", handle = c.handle, sealed = c.sealed, end_reason = c."endReason",
        ending_since = c."endingSince", attempts = c.attempts, last_error = c."lastError", ended_at = c."endedAt",
        outcome = c.outcome, evidence = c.evidence, use = c.use
      from changed_lease c
      where c.unit ${GOOD} and l.id = c.id and l.id = any(array(select id from changed_lease)))`,
  ],
};

const newLeases: Part = {
  rows: 'new_lease',
  columns: `"id" text, "taskId" text, "version" int, "state" text, "credential" text, "grant" text, "target" text,
    "provider" text, "name" text, "issuer" text, "subject" text, "scope" jsonb, "counted" boolean,
    "createdAt" timestamptz, "expiresAt" timestamptz, "capAt" timestamptz, "dueAt" timestamptz, "actors" jsonb`,
  refuses: [
    `select n.unit, 'blocked' from new_lease n join block b
      on (coalesce(b.issuer, n.issuer) = n.issuer and coalesce(b.subject, n.subject) = n.subject
        or n.actors @> jsonb_strip_nulls(jsonb_build_array(jsonb_build_object('issuer', b.issuer, 'subject', b.subject))))
      and coalesce(b."grant", n."grant") = n."grant" and coalesce(b.target, n.target) = n.target
      and coalesce(b.task, n."taskId") = n."taskId"`,
  ],
  writes: [
    `intend_lease as (
      insert into lease (id, task_id, version, state, credential, grant_name, target, provider, name, issuer, subject,
        scope, counted, created_at, expires_at, cap_at, due_at)
      select n.id, n."taskId", n.version, n.state, n.credential, n."grant", n.target, n.provider, n.name, n.issuer,
        n.subject, n.scope, n.counted, n."createdAt", n."expiresAt", n."capAt", n."dueAt"
      from new_lease n where n.unit ${GOOD})`,
  ],
};

const newRequests: Part = {
  rows: 'new_request',
  columns: `"id" text, "version" int, "state" text, "digest" text, "grant" text, "issuer" text, "subject" text,
    "ask" jsonb, "requester" jsonb, "approvals" jsonb, "createdAt" timestamptz, "expiresAt" timestamptz, "taskId" text`,
  refuses: [
    `select n.unit, 'repeated' from new_request n
      where n.digest = any(array(
        select digest from approval_request
        where digest = any(array(select digest from new_request)) and state in ('pending', 'approved')))`,
  ],
  writes: [
    `ask_request as (
      insert into approval_request (id, version, state, digest, grant_name, issuer, subject, ask, requester, approvals,
        created_at, expires_at, task_id)
      select n.id, n.version, n.state, n.digest, n."grant", n.issuer, n.subject, n.ask, n.requester, n.approvals,
        n."createdAt", n."expiresAt", n."taskId"
      from new_request n where n.unit ${GOOD})`,
  ],
};

const changedRequests: Part = {
  rows: 'changed_request',
  columns: '"id" text, "version" int, "state" text, "approvals" jsonb, "reason" text, "taskId" text',
  finds: [lockedRows('changed_request', 'approval_request')],
  refuses: [otherVersions('changed_request', 'approval_request')],
  writes: [
    `change_request as (
      update approval_request r set version = r.version + 1, state = c.state, approvals = c.approvals,
        reason = c.reason, task_id = c."taskId"
      from changed_request c
      where c.unit ${GOOD} and r.id = c.id and r.id = any(array(select id from changed_request)))`,
  ],
};

const newReviews: Part = {
  rows: 'new_review',
  columns: `"id" text, "version" int, "state" text, "grant" text, "taskId" text, "issuer" text, "subject" text,
    "person" jsonb, "people" jsonb, "practice" boolean, "purpose" text, "ticket" text, "openedAt" timestamptz,
    "dueAt" timestamptz`,
  writes: [
    `begin_review as (
      insert into break_glass_review (id, version, state, grant_name, task_id, issuer, subject, person, people,
        practice, purpose, ticket, opened_at, due_at)
      select n.id, n.version, n.state, n."grant", n."taskId", n.issuer, n.subject, n.person, n.people, n.practice,
        n.purpose, n.ticket, n."openedAt", n."dueAt"
      from new_review n where n.unit ${GOOD})`,
  ],
};

const changedReviews: Part = {
  rows: 'changed_review',
  columns: '"id" text, "version" int, "state" text, "closedAt" timestamptz, "closedBy" jsonb, "finding" text',
  finds: [lockedRows('changed_review', 'break_glass_review')],
  refuses: [otherVersions('changed_review', 'break_glass_review')],
  writes: [
    `change_review as (
      update break_glass_review r set version = r.version + 1, state = c.state, closed_at = c."closedAt",
        closed_by = c."closedBy", finding = c.finding
      from changed_review c
      where c.unit ${GOOD} and r.id = c.id and r.id = any(array(select id from changed_review)))`,
  ],
};

const quotas: Part = {
  rows: 'quota_use',
  columns:
    '"key" text, "live" int, "total" int, "issued" int, "maxLive" int, "maxTotal" int, "maxIssuedAnHour" int',
  finds: [
    `locked_quota as (
      select * from quota where key = any(array(select key from quota_use)) order by key for update)`,
    // The counters as of this hour. The share of the hour before that still lies within sixty minutes counts as well.
    `quota_now as (
      select key, live, total, h.hour,
        case when q.hour >= h.hour then q.issued else 0 end as issued,
        case when q.hour >= h.hour then q.issued_previous
             when q.hour = h.hour - interval '1 hour' then q.issued else 0 end as issued_previous,
        1 - extract(epoch from $1::timestamptz - h.hour) / 3600 as share
      from locked_quota q, lateral (select greatest(q.hour, date_trunc('hour', $1::timestamptz, 'UTC')) as hour) h)`,
    // Each unit is counted with all before it in the group that add to the same counter.
    `quota_wanted as (
      select u.unit, u.key, u."maxLive", u."maxTotal", u."maxIssuedAnHour",
        sum(greatest(u.live, 0)) over w as live, sum(u.total) over w as total, sum(u.issued) over w as issued
      from quota_use u window w as (partition by u.key order by u.unit))`,
  ],
  refuses: [
    `select w.unit, 'limit' from quota_wanted w left join quota_now q on q.key = w.key
      where (q.key is null and coalesce(w."maxLive", w."maxTotal", w."maxIssuedAnHour") is not null)
         or q.live + w.live > w."maxLive"
         or q.total + w.total > w."maxTotal"
         or q.issued + q.issued_previous * q.share + w.issued > w."maxIssuedAnHour"`,
  ],
  writes: [
    `count_quota as (
      update quota q set live = q.live + d.live, total = q.total + d.total, hour = n.hour,
        issued = n.issued + d.issued, issued_previous = n.issued_previous
      from (select key, sum(live) as live, sum(total) as total, sum(issued) as issued
            from quota_use where unit ${GOOD} group by key) d
        join quota_now n using (key)
      where q.key = d.key and q.key = any(array(select key from quota_use)))`,
  ],
};

const taskGrants: Part = {
  rows: 'new_task_grant',
  columns: `"id" text, "grant" text, "grantVersion" text, "cut" jsonb, "createdBy" jsonb, "createdAt" timestamptz,
    "expiresAt" timestamptz, "uses" int`,
  writes: [
    `make_task_grant as (
      insert into task_grant (id, grant_name, grant_version, cut, created_by, created_at, expires_at, uses)
      select n.id, n."grant", n."grantVersion", n.cut, n."createdBy", n."createdAt", n."expiresAt", n.uses
      from new_task_grant n where n.unit ${GOOD})`,
    `count_task_grant as (
      insert into quota (key, hour) select 'task-grant:' || n.id, date_trunc('hour', $1::timestamptz, 'UTC')
      from new_task_grant n where n.unit ${GOOD})`,
  ],
};

const events: Part = {
  rows: 'event',
  columns: `"id" text, "at" timestamptz, "kind" text, "taskId" text, "leaseId" text, "grant" text, "target" text,
    "issuer" text, "subject" text, "outcome" text, "body" text`,
  finds: ['numbered_event as (select row_number() over () as position, * from event)'],
  writes: [
    `log_event as (
      insert into audit_event (id, at, kind, task_id, lease_id, grant_name, target, issuer, subject, outcome, body)
      select e.id, e.at, e.kind, e."taskId", e."leaseId", e."grant", e.target, e.issuer, e.subject, e.outcome, e.body
      from numbered_event e where e.unit ${GOOD} order by e.position
      returning seq, at)`,
    'await_index as (insert into audit_pending (at, seqs) select at, array_agg(seq order by seq) from log_event group by at)',
  ],
};

/** In the order in which their rows are locked. */
const PARTS = {
  evidence,
  newTasks,
  changedTasks,
  changedLeases,
  newLeases,
  newRequests,
  changedRequests,
  newReviews,
  changedReviews,
  quotas,
  taskGrants,
  events,
} as const;

export type CommitPart = keyof typeof PARTS;

/** All parts, in the order in which a statement takes them. */
export const COMMIT_PARTS = Object.keys(PARTS) as readonly CommitPart[];

function textOf(names: readonly CommitPart[]): string {
  const parts = names.map((name) => PARTS[name]);
  const records = parts.map(
    ({ rows, columns }, i) =>
      `${rows} as (select * from json_to_recordset($${i + 2}::json) as x("unit" int, ${columns}))`,
  );
  const refusals = parts.flatMap((part) => part.refuses ?? []);
  const tables = [
    // Also where no part asks for it: a parameter that a statement does not name has no type.
    'clock as (select $1::timestamptz as now)',
    ...records,
    ...parts.flatMap((part) => part.finds ?? []),
    `block as (
      select x.* from (select blocks from gate ${names.includes('newLeases') ? HOLD : ''}) g,
        jsonb_to_recordset(g.blocks) as x("issuer" text, "subject" text, "grant" text, "target" text, "task" text))`,
    `refused (unit, conflict) as (${["select 0, '' where false", ...refusals].join(' union all ')})`,
    ...parts.flatMap((part) => part.writes),
  ];
  return `with ${tables.join(',\n')}\nselect unit, min(conflict) as conflict from refused group by unit`;
}

/**
 * What is kept out. Whoever begins a lease holds the gate, so that a kill sees all that was begun before it; once he
 * holds it he reads it as it is by then. What changes a lease needs no hold: the kill changes that lease as well.
 */
const HOLD = 'for share';
