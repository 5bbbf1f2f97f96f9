-- The store of the broker. Every instant that is written arrives as a parameter from the broker's clock.

create table installation (
  singleton  boolean primary key default true check (singleton),
  -- Four characters in the name of every credential that this installation makes.
  mark       text not null check (mark ~ '^[0-9a-z]{4}$'),
  created_at timestamptz not null
);

create table task (
  id                text collate "C" primary key,
  version           integer not null,
  state             text not null check (state in ('open', 'ended')),
  grant_name        text not null,
  grant_version     text not null,
  task_grant_id     text collate "C",
  name              text not null,
  purpose           text,
  parameters        jsonb not null,
  issuer            text not null,
  subject           text not null,
  principal         jsonb not null,
  token_hash        text not null,
  sealed_token      text,
  public_key        jsonb,
  idempotency_key   text,
  request_digest    text not null,
  opened_at         timestamptz not null,
  expires_at        timestamptz not null,
  heartbeat_seconds integer,
  heartbeat_due_at  timestamptz,
  ended_at          timestamptz,
  end_reason        text,
  exit_status       integer,
  check ((state = 'ended') = (ended_at is not null))
);

create unique index task_idempotency_key on task (idempotency_key) where idempotency_key is not null;
-- Open tasks whose time is up are closed by housekeeping.
create index task_expiry on task (expires_at) where state = 'open';

create table lease (
  id           text collate "C" primary key,
  task_id      text collate "C" not null references task (id),
  version      integer not null,
  state        text not null check (state in ('minting', 'active', 'ending', 'ended')),
  credential   text not null,
  grant_name   text not null,
  target       text not null,
  provider     text not null,
  name         text not null,
  issuer       text not null,
  subject      text not null,
  scope        jsonb not null,
  -- Whether the quota of its grant counts it as live.
  counted      boolean not null,
  created_at   timestamptz not null,
  issued_at    timestamptz,
  expires_at   timestamptz not null,
  cap_at       timestamptz not null,
  due_at       timestamptz,
  handle       jsonb,
  sealed       text,
  end_reason   text,
  ending_since timestamptz,
  -- Attempts to end it that were begun.
  attempts     integer not null default 0,
  last_error   text,
  ended_at     timestamptz,
  outcome      text check (outcome in ('revoked', 'denied', 'expired', 'never-minted')),
  evidence     jsonb,
  check ((state = 'ended') = (outcome is not null and ended_at is not null)),
  check ((state = 'ended') = (due_at is null)),
  check (state not in ('ending', 'ended') or (end_reason is not null and ending_since is not null))
);

create index lease_task on lease (task_id);
-- What is due, target by target: the reaper's only question.
create index lease_due on lease (target, due_at) where state <> 'ended';
-- What did not end at the first attempt: the alarm's question.
create index lease_failing on lease (target) where state = 'ending' and attempts > 1;

-- Evidence that may be used once. A row for each use, until the evidence itself has lapsed.
create table used_evidence (
  id         text collate "C" primary key,
  -- The request that used it: a retry of the same request may present it again.
  used_for   text not null,
  keep_until timestamptz not null
);

create index used_evidence_expiry on used_evidence (keep_until);

-- Counters behind limits: one row for each limited grant and each task grant.
create table quota (
  key             text collate "C" primary key,
  live            integer not null default 0,
  total           integer not null default 0,
  hour            timestamptz not null,
  issued          integer not null default 0,
  issued_previous integer not null default 0
);

create table task_grant (
  id            text collate "C" primary key,
  grant_name    text not null,
  grant_version text not null,
  cut           jsonb not null,
  created_by    jsonb not null,
  created_at    timestamptz not null,
  expires_at    timestamptz not null,
  uses          integer not null
);

-- The log. `body` is the event, byte for byte as it is hashed; the other columns repeat what is searched for.
create table audit_event (
  seq        bigint generated always as identity primary key,
  id         text collate "C" not null,
  at         timestamptz not null,
  kind       text not null,
  task_id    text collate "C",
  lease_id   text collate "C",
  grant_name text,
  target     text,
  issuer     text,
  subject    text,
  body       text not null
);

create index audit_event_task on audit_event (task_id, seq) where task_id is not null;
create index audit_event_lease on audit_event (lease_id, seq) where lease_id is not null;

create function audit_event_is_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end
$$;

create trigger audit_event_append_only before update or delete or truncate on audit_event
  for each statement execute function audit_event_is_append_only();
