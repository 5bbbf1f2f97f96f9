-- The keys that the broker signs its own identity tokens with. The private half is sealed under a master key that is
-- kept outside the store.

create table signing_key (
  kid        text collate "C" primary key,
  algorithm  text not null check (algorithm in ('ES256', 'RS256')),
  -- Counts up for each algorithm. Of replicas that make the same one, the first wins.
  generation integer not null check (generation >= 0),
  public_key jsonb not null,
  sealed     text not null,
  created_at timestamptz not null,
  -- Published from the start, used from then on, until the next generation is.
  signs_from timestamptz not null,
  unique (algorithm, generation)
);
