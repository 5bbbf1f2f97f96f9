-- Evidence that a credential was used: what was seen of it, with the lease that it is of.
alter table lease add column use jsonb;

-- Whose token it may have been that an account's call was made with: Google's audit log names the account alone.
create index lease_of_account on lease (target, expires_at) where provider = 'google';

-- Who looks at the sessions of a target, and how far back his looks follow each other without a gap: what allows to say
-- of a credential that it was not seen in use. One row for each target that can be looked at.
create table target_watch (
  target         text collate "C" primary key,
  holder         text,
  held_until     timestamptz,
  fence          bigint not null,
  unbroken_since timestamptz,
  looked_at      timestamptz
);

-- The function runs with its owner's rights. It names everything with its schema and looks nowhere else, so that no
-- table, function or operator of somebody else stands in for what it means.
do $migration$
begin
  execute format($definition$
    create or replace function %1$I.audit_event_month(instant timestamptz) returns text language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $body$
    declare
      first timestamptz := date_trunc('month', instant, 'UTC');
      month text := 'audit_event_' || to_char(first at time zone 'UTC', 'YYYY_MM');
      place text := format('%%I.%%I', %1$L, month);
    begin
      if to_regclass(place) is null then
        execute format('create table %%s partition of %%I.audit_event for values from (%%L) to (%%L)',
          place, %1$L, first, (first at time zone 'UTC' + interval '1 month') at time zone 'UTC');
        execute format('create trigger audit_event_append_only before truncate on %%s '
          'for each statement execute function %%I.audit_event_is_append_only()', place, %1$L);
      end if;
      return month;
    end
    $body$ $definition$, current_schema());
end
$migration$;
