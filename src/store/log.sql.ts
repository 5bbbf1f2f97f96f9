import type { Statement } from './database.ts';

/**
 * The statements of the sequencer, and of those who read what it made. What they join to a growing table they look up
 * row by row (a lateral subquery with a limit), so that no plan reads that table through, whatever the planner
 * believes of its size.
 */

/** `$1` origin. The log is born empty; `$2` is the root of nothing. */
export const OPEN_LOG: Statement = {
  name: 'open_log',
  text: `insert into log_head (origin, size, root, fence) values ($1, 0, decode($2, 'base64'), 0) on conflict do nothing`,
};

export const READ_HEAD: Statement = {
  name: 'read_log_head',
  text: `
    select origin, size::text, encode(root, 'base64') as root, checkpoint, witnessed, minimum_index::text as "minimumIndex",
      fence::text, exists (select from audit_pending) as waiting
    from log_head`,
};

/**
 * Takes or keeps the right to grow the log: `$1` holder, `$2` now, `$3` until, `$4` an instant so late that a claim
 * until then was made by a clock that was wrong.
 */
export const CLAIM_LOG: Statement = {
  name: 'claim_log',
  text: `
    update log_head set holder = $1, held_until = $3,
      fence = case when holder = $1 and held_until > $2 then fence else fence + 1 end
    where holder = $1 or holder is null or held_until <= $2 or held_until > $4
    returning size::text, encode(root, 'base64') as root, checkpoint, fence::text`,
};

/** The oldest groups that wait for their indexes, and the tiles at the edge: `$1` groups at most, `$2` levels, `$3` places. */
export const PENDING: Statement = {
  name: 'pending_events',
  text: `
    select p.id::text, p.at, x.seq::text, e.body
    from (select id, at, seqs from audit_pending order by id limit $1) p
    cross join lateral unnest(p.seqs) with ordinality as x (seq, position)
    left join lateral (select body from audit_event where seq = x.seq and at = p.at limit 1) e on true
    order by p.id, x.position`,
};

export const TILES: Statement = {
  name: 'log_tiles',
  text: `
    select w.level, w.n::text, encode(t.hashes, 'base64') as hashes
    from unnest($1::int[], $2::bigint[]) as w (level, n)
    cross join lateral (select hashes from log_tile where level = w.level and n = w.n limit 1) t`,
};

/**
 * Everything that a batch changes, or nothing: the head moves only for the holder of the fence, from the size that he
 * saw, and all else hangs on that. $1 fence, $2 old size, $3 new size, $4 root, $5 checkpoint, $6 held until,
 * $7 groups, $8 numbers of the events in the order of their indexes, $9 their instants, $10-$12 tiles.
 */
export const APPEND: Statement = {
  name: 'append_to_log',
  text: `
    with head as (
      update log_head set size = $3, root = decode($4, 'base64'), checkpoint = $5, held_until = $6
      where fence = $1 and size = $2 returning size),
    taken as (
      delete from audit_pending p using head where p.id = any($7::bigint[])),
    leaf as (
      insert into log_leaf (index, seq, at)
      select $2::bigint + x.position - 1, x.seq, x.at
      from head, unnest($8::bigint[], $9::timestamptz[]) with ordinality as x (seq, at, position)),
    tile as (
      insert into log_tile (level, n, hashes)
      select x.level, x.n, decode(x.hashes, 'base64')
      from head, unnest($10::int[], $11::bigint[], $12::text[]) as x (level, n, hashes)
      on conflict (level, n) do update set hashes = excluded.hashes)
    select size::text from head`,
};

/** The entries from index `$1` up to, not with, `$2`; a row for each index, without a body where the event is gone. */
export const ENTRIES: Statement = {
  name: 'log_entries',
  text: `
    select l.index::text, e.body from log_leaf l
    left join lateral (select body from audit_event where seq = l.seq and at = l.at limit 1) e on true
    where l.index >= $1 and l.index < $2 order by l.index`,
};

/** The entries about lease `$1` that have an index. */
export const LEASE_ENTRIES: Statement = {
  name: 'lease_entries',
  text: `
    select l.index::text, e.kind, e.body from audit_event e
    cross join lateral (select index from log_leaf where seq = e.seq limit 1) l
    where e.lease_id = $1 order by l.index limit 1000`,
};
