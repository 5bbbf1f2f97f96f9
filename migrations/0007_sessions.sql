-- People who signed in with a browser. What a session may do is decided at each use, from the claims that it began with.
create table session (
  id         text collate "C" primary key,
  -- SHA-256 of what the browser holds: whoever reads this table cannot become anybody.
  token_hash text collate "C" not null unique,
  issuer     text not null,
  subject    text not null,
  principal  jsonb not null,
  began_at   timestamptz not null,
  -- It ends then, however much it is used.
  expires_at timestamptz not null,
  -- It ends then, unless it is used before.
  ends_at    timestamptz not null,
  check (ends_at <= expires_at)
);

create index session_identity on session (issuer, subject);
create index session_ends on session (ends_at);
-- What a kill of an identity says is asked at each use.
create index kill_identity on kill (issuer) where issuer is not null;
