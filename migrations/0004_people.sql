-- Ending what one identity, grant, target or task holds, and keeping it out.

-- Its one row is locked by every commit that begins a lease, shared with the others, and alone by an order that
-- changes what is kept out: whatever was begun before the order is there for it to see, and whatever comes after
-- sees the order. `blocks` repeats what commits need of the orders that stand.
create table gate (
  singleton boolean primary key default true check (singleton),
  blocks    jsonb not null check (jsonb_typeof(blocks) = 'array')
);

insert into gate (blocks) values ('[]');

create table kill (
  id          text collate "C" primary key,
  ordered_at  timestamptz not null,
  ordered_by  jsonb not null,
  reason      text not null,
  -- What it matches; null matches all.
  issuer      text,
  subject     text,
  grant_name  text,
  target      text,
  task_id     text collate "C",
  -- How much was made due, so far, and since when that is all.
  tasks       integer not null default 0,
  leases      integer not null default 0,
  marked_at   timestamptz,
  -- What it matches is kept out until then.
  lifted_at   timestamptz,
  lifted_by   jsonb,
  lift_reason text,
  check ((lifted_at is null) = (lifted_by is null)),
  check (subject is null or issuer is not null)
);

create index kill_unmarked on kill (id) where marked_at is null;

-- A lease or an open task that has a reason to end and has not begun to is one that a kill has made due. So what a
-- kill has yet to find is what has no reason.
create index lease_unmarked_identity on lease (issuer, subject) where end_reason is null;
create index lease_unmarked_grant on lease (grant_name) where end_reason is null;
create index task_unmarked_identity on task (issuer, subject) where end_reason is null;
create index task_unmarked_grant on task (grant_name) where end_reason is null;
-- What is left of the killed: small, and empty in quiet times.
create index lease_killed on lease (target) where end_reason = 'killed' and state <> 'ended';

-- Wishes that wait for approval.
create table approval_request (
  id          text collate "C" primary key,
  version     integer not null,
  state       text not null check (state in ('pending', 'approved', 'denied', 'expired', 'cancelled', 'redeemed')),
  -- Of exactly what was asked, by whom, and what policy made of it. Approvals are for this and nothing else.
  digest      text not null,
  grant_name  text not null,
  issuer      text not null,
  subject     text not null,
  -- What approvers are shown: the broker's own knowledge.
  ask         jsonb not null,
  requester   jsonb not null,
  approvals   jsonb not null,
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  -- Why it was denied or cancelled.
  reason      text,
  task_id     text collate "C"
);

create index approval_request_open on approval_request (expires_at) where state in ('pending', 'approved');
-- What was asked waits once.
create unique index approval_request_digest on approval_request (digest) where state in ('pending', 'approved');
