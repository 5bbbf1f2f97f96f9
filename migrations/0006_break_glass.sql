-- The ticket that a task is for, and whether the task is a rehearsal, for which nothing is minted.
alter table task add column ticket text;
alter table task add column practice boolean not null default false;

-- What each grant last asked for as approval, so that a later configuration that asks for less is told.
alter table configuration add column approvals jsonb not null default '{}';

-- The review of each use of a break-glass grant. From `due_at` on it keeps that person from the next use, until
-- somebody else has closed it.
create table break_glass_review (
  id         text collate "C" primary key,
  version    integer not null,
  -- `due` says no more than that people were told.
  state      text not null check (state in ('open', 'due', 'closed')),
  grant_name text not null,
  task_id    text collate "C" not null,
  issuer     text not null,
  subject    text not null,
  -- Who used it, as he was proven, and his names in the configuration of then.
  person     jsonb not null,
  people     jsonb not null,
  practice   boolean not null,
  purpose    text not null,
  ticket     text,
  opened_at  timestamptz not null,
  due_at     timestamptz not null,
  closed_at  timestamptz,
  closed_by  jsonb,
  finding    text,
  check ((state = 'closed') = (closed_at is not null and closed_by is not null and finding is not null))
);

create index break_glass_review_open on break_glass_review (due_at) where state <> 'closed';
