-- The least rights that a broker needs in its own database. The owner of the tables applies the migrations, by one
-- start with his own login; from then on brokers log in as the role that is made here. It cannot change or remove what
-- the log holds: not an event, not an entry's place, not a table.
--
--   psql "$OWNER_URL" --set broker=hallpass_broker --file postgres-grants.sql
--
-- The role is made without a password: give it one, or let it log in by a certificate.

\set ON_ERROR_STOP on

select format('create role %I login', :'broker')
where not exists (select from pg_roles where rolname = :'broker') \gexec

revoke all on all tables in schema public from :"broker";
revoke create on schema public from :"broker";
grant usage on schema public to :"broker";
grant usage on all sequences in schema public to :"broker";

grant select on all tables in schema public to :"broker";

-- What lives changes.
grant insert, update on task, lease, quota, configuration, installation, log_sink, target_watch, gate, kill,
  approval_request, break_glass_review, fallback to :"broker";
grant insert on task_grant, log_key, kit, kit_entry, kit_code to :"broker";
grant insert, update, delete on used_evidence, signing_key, session to :"broker";

-- What is logged stays.
grant insert on audit_event, log_leaf to :"broker";
grant insert, delete on audit_pending to :"broker";
grant insert, update on log_head, log_tile to :"broker";

-- Partitions of months to come are made with the owner's rights, and the broker's own rights reach them by their parent.
revoke execute on function audit_event_month(timestamptz) from public;
grant execute on function audit_event_month(timestamptz) to :"broker";
