-- The ticket that a task is for.
alter table task add column ticket text;

-- What each grant last asked for as approval, so that a later configuration that asks for less is told.
alter table configuration add column approvals jsonb not null default '{}';
