-- The ticket that a task is for.
alter table task add column ticket text;
