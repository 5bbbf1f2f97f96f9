-- The log becomes a transparency log, and its events lie in partitions by month.

alter table audit_event rename to audit_event_before;
drop trigger audit_event_append_only on audit_event_before;
drop index audit_event_task, audit_event_lease;
alter table audit_event_before drop constraint audit_event_pkey;

create sequence audit_event_number;

create table audit_event (
  seq        bigint not null default nextval('audit_event_number'),
  id         text collate "C" not null,
  at         timestamptz not null,
  kind       text not null,
  task_id    text collate "C",
  lease_id   text collate "C",
  grant_name text,
  target     text,
  issuer     text,
  subject    text,
  outcome    text,
  -- The event, byte for byte as it is hashed; the other columns repeat what is searched for.
  body       text not null,
  primary key (seq, at)
) partition by range (at);

-- What no month was made for in time lies here: an event is never refused for want of a partition.
create table audit_event_default partition of audit_event default;

create index audit_event_task on audit_event (task_id, seq) where task_id is not null;
create index audit_event_lease on audit_event (lease_id, seq) where lease_id is not null;
create index audit_event_kind on audit_event (kind, seq);
create index audit_event_grant on audit_event (grant_name, seq) where grant_name is not null;
create index audit_event_target on audit_event (target, seq) where target is not null;
create index audit_event_subject on audit_event (subject, issuer, seq) where subject is not null;
create index audit_event_outcome on audit_event (outcome, seq) where outcome is not null;
create index audit_event_at on audit_event using brin (at);

-- Triggers for rows are passed on to every partition; those for whole statements are not, so each has its own.
create trigger audit_event_append_only before update or delete or truncate on audit_event
  for each statement execute function audit_event_is_append_only();
create trigger audit_event_row_append_only before update or delete on audit_event
  for each row execute function audit_event_is_append_only();
create trigger audit_event_append_only before truncate on audit_event_default
  for each statement execute function audit_event_is_append_only();

-- Makes the partition of the month that holds an instant, where it is missing. It runs with the rights of the owner,
-- so that the broker's own role need not be able to make, or drop, a table.
create function audit_event_month(instant timestamptz) returns text language plpgsql
security definer set search_path from current as $$
declare
  first timestamptz := date_trunc('month', instant, 'UTC');
  month text := 'audit_event_' || to_char(first at time zone 'UTC', 'YYYY_MM');
begin
  if to_regclass(month) is null then
    execute format('create table %I partition of audit_event for values from (%L) to (%L)',
      month, first, (first at time zone 'UTC' + interval '1 month') at time zone 'UTC');
    execute format('create trigger audit_event_append_only before truncate on %I '
      'for each statement execute function audit_event_is_append_only()', month);
  end if;
  return month;
end
$$;

-- Events that have no index yet: a row for each group that was committed, written by the same statement. So an event
-- is here if and only if it is committed and not sequenced, whatever the order in which transactions end.
create table audit_pending (
  id   bigint generated always as identity primary key,
  at   timestamptz not null,
  seqs bigint[] not null
);

-- The log's head, and who may grow it: one row. Whoever holds it counts `fence` up; a write of an earlier holder
-- finds another fence, and changes nothing.
create table log_head (
  singleton     boolean primary key default true check (singleton),
  origin        text not null,
  size          bigint not null,
  root          bytea not null,
  -- The signed note of this size; null before the first.
  checkpoint    text,
  -- The latest that witnesses cosigned, with their signatures.
  witnessed     text,
  -- Entries below are archived: their hashes are here, they themselves are not.
  minimum_index bigint not null default 0,
  holder        text,
  held_until    timestamptz,
  fence         bigint not null
);

-- Which event is the entry at an index.
create table log_leaf (
  index bigint primary key,
  seq   bigint not null,
  at    timestamptz not null
);

create unique index log_leaf_seq on log_leaf (seq);

create trigger log_leaf_append_only before update or delete or truncate on log_leaf
  for each statement execute function audit_event_is_append_only();

-- Tiles of hashes. Those at the right edge grow; a narrower one of an earlier size is the beginning of the row.
create table log_tile (
  level  integer not null,
  n      bigint not null,
  hashes bytea not null,
  primary key (level, n)
);

alter table log_tile alter column hashes set storage external;

-- Every key that ever signed for the log, as its verifiers know it.
create table log_key (
  key      text primary key,
  added_at timestamptz not null
);

-- Where the log is sent, and how far each of these has come.
create table log_sink (
  name       text primary key,
  next_index bigint not null,
  holder     text,
  held_until timestamptz,
  fence      bigint not null
);

-- The parts of the configuration that was loaded last, by digest: what the next one is compared with.
create table configuration (
  singleton boolean primary key default true check (singleton),
  digest    text not null,
  parts     jsonb not null,
  loaded_at timestamptz not null
);

with moved as (
  insert into audit_event (id, at, kind, task_id, lease_id, grant_name, target, issuer, subject, body)
  select id, at, kind, task_id, lease_id, grant_name, target, issuer, subject, body
  from audit_event_before order by seq
  returning seq, at)
insert into audit_pending (at, seqs)
select at, array_agg(seq order by seq) from moved group by at order by min(seq);

drop table audit_event_before;
