-- How often the other side refused for good what comes next: it is given up after so many, whichever process sends.
alter table log_sink add column refusals integer not null default 0;

-- When the block of a kill is lifted by itself; null: when somebody lifts it.
alter table kill add column lifts_at timestamptz;

create index kill_lifting on kill (lifts_at) where lifts_at is not null and lifted_at is null;
