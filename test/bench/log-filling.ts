import type { Database } from '../../src/store/database.ts';
import { makePartition } from '../../src/store/log.ts';

/** Lifecycles that are under way at once: each of their steps is committed as one group, as under load. */
const TOGETHER = 64;
/** Of those, how many one statement writes: some hundredths of a second's work, and a few megabytes. */
const COHORTS_AT_ONCE = 32;
/** Principals whose tasks these are. */
const SUBJECTS = 1_000;

/** An event of the lifecycle that is copied. */
interface Pattern {
  /** Milliseconds since the first. */
  readonly after: number;
  /** Its place among those that were committed with it, the number of these, and of those committed before. */
  readonly place: number;
  readonly group: number;
  readonly before: number;
  readonly kind: string;
  readonly hasLease: boolean;
  readonly grant: string | null;
  readonly target: string | null;
  readonly issuer: string | null;
  readonly hasSubject: boolean;
  readonly outcome: string | null;
  /** For `format()`: 1 its id, 2 the task, 3 the lease, 4 the subject, 5 and on the instants. */
  readonly body: string;
}

export interface LogFilling {
  /** Adds that many events, or the fewest above of whole lifecycles. They wait for their indexes, as the broker's own do. */
  add(events: number, onAdded?: (events: number) => void): Promise<void>;
}

/**
 * Fills the log with copies of the first lifecycle that is in it, byte for byte but for ids, instants and subjects, as
 * if `events` had been committed between two instants. Nobody else may commit meanwhile, or the order of the numbers is
 * another than that of the instants. Tasks and leases get no rows.
 */
export async function openLogFilling(
  database: Database,
  { events, from, to }: { readonly events: number; readonly from: number; readonly to: number },
): Promise<LogFilling> {
  const { patterns, instants } = await readPatterns(database);
  for (let at = new Date(from); at.getTime() <= to; at.setUTCMonth(at.getUTCMonth() + 1, 1))
    await makePartition(database, at.getTime());
  const perCohort = patterns.length * TOGETHER;
  const apartMs = Math.floor((to - from) / Math.ceil(events / perCohort));
  const begin = new Date(from).toISOString();
  let cohorts = 0;
  return {
    async add(wanted, onAdded = () => {}) {
      const end = cohorts + Math.ceil(wanted / perCohort);
      while (cohorts < end) {
        const next = Math.min(cohorts + COHORTS_AT_ONCE, end);
        await database.query(FILL, [
          JSON.stringify(patterns),
          begin,
          apartMs,
          instants,
          cohorts,
          next - 1,
          TOGETHER,
          SUBJECTS,
        ]);
        onAdded((next - cohorts) * perCohort);
        cohorts = next;
      }
    },
  };
}

/**
 * $1 patterns, $2 the first instant, $3 milliseconds between cohorts, $4 instants in the bodies after their cohort's in
 * milliseconds, $5 and $6 the first and the last cohort, $7 lifecycles in each, $8 subjects. Ids begin with the instant,
 * so that they sort by it.
 */
const FILL = {
  name: 'fill_log',
  text: `
    with pattern as materialized (
      select p.*, k from json_to_recordset($1::json) as p(
        "after" int, "place" int, "group" int, "before" int, "kind" text, "hasLease" boolean, "grant" text, "target" text,
        "issuer" text, "hasSubject" boolean, "outcome" text, "body" text),
        generate_series(0, $7::int - 1) k),
    cohort as materialized (
      select c, at, '00' || to_hex(extract(epoch from at)::bigint) as begin, array(
          select to_char((at + ms * interval '1 millisecond') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
          from unnest($4::int[]) with ordinality as x (ms, position) order by position) as instants
      from generate_series($5::int, $6::int) c,
        lateral (select $2::timestamptz + c::bigint * $3::bigint * interval '1 millisecond' as at) t),
    logged as (
      insert into audit_event (id, at, kind, task_id, lease_id, grant_name, target, issuer, subject, outcome, body)
      select i.id, c.at + p."after" * interval '1 millisecond', p.kind, i.task, case when p."hasLease" then i.lease end,
        p."grant", p.target, p.issuer, case when p."hasSubject" then i.subject end, p.outcome,
        format(p.body, variadic array[i.id, i.task, i.lease, i.subject] || c.instants)
      from (select * from cohort order by c offset 0) c
      cross join lateral (
        select *, c.c as cohort from pattern order by "before" * $7::int + k * "group" + place offset 0) p
      cross join lateral (
        select c.begin || left(md5(concat_ws('/', p.cohort, p.k, p."before", p.place)), 16) as id,
          c.begin || left(md5(concat_ws('/', p.cohort, p.k, 'task')), 16) as task,
          c.begin || left(md5(concat_ws('/', p.cohort, p.k, 'lease')), 16) as lease,
          'job-' || (p.cohort::bigint * $7::int + p.k) * 7919 % $8::int as subject) i
      returning seq, at)
    insert into audit_pending (at, seqs)
    select at, array_agg(seq order by seq) from logged group by at order by min(seq)`,
};

interface EventRow {
  readonly id: string;
  readonly at: string;
  readonly kind: string;
  readonly task: string;
  readonly lease: string | null;
  readonly grant: string | null;
  readonly target: string | null;
  readonly issuer: string | null;
  readonly subject: string | null;
  readonly outcome: string | null;
  readonly body: string;
}

const FIRST_LIFECYCLE = {
  name: 'first_lifecycle',
  text: `
    select e.id, to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at, e.kind, e.task_id as task,
      e.lease_id as lease, e.grant_name as "grant", e.target, e.issuer, e.subject, e.outcome, e.body
    from audit_event e
    where e.task_id = (select task_id from audit_event where kind = 'task.opened' order by seq limit 1)
    order by e.seq`,
};

const INSTANT = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;

async function readPatterns(
  database: Database,
): Promise<{ readonly patterns: readonly Pattern[]; readonly instants: readonly number[] }> {
  const events = await database.query<EventRow>(FIRST_LIFECYCLE, []);
  const [first] = events;
  if (first === undefined || events.at(-1)?.kind !== 'lease.ended')
    throw new Error('Cannot fill the log: its first lifecycle has not ended');
  const lease = events.find((event) => event.lease !== null)?.lease ?? '';
  const texts = [...new Set(events.flatMap(({ body }) => body.match(INSTANT) ?? []))];
  const patterns = events.map((event) => {
    const together = events.filter(({ at }) => at === event.at);
    let body = event.body.replaceAll('%', '%%').replaceAll(event.id, '%1$s').replaceAll(event.task, '%2$s');
    body = body.replaceAll(lease, '%3$s').replaceAll(`"subject":"${first.subject}"`, '"subject":"%4$s"');
    for (const [i, text] of texts.entries()) body = body.replaceAll(text, `%${5 + i}$s`);
    return {
      after: Date.parse(event.at) - Date.parse(first.at),
      place: together.indexOf(event),
      group: together.length,
      before: events.indexOf(together[0] ?? event),
      kind: event.kind,
      hasLease: event.lease !== null,
      grant: event.grant,
      target: event.target,
      issuer: event.issuer,
      hasSubject: event.subject !== null,
      outcome: event.outcome,
      body,
    };
  });
  return { patterns, instants: texts.map((text) => Date.parse(text) - Date.parse(first.at)) };
}
