-- Issuers that stand in for another while it cannot be reached, by their names: what all replicas together know of it.
-- One look of any replica that reaches the other closes it for all.
create table fallback (
  issuer        text primary key,
  version       integer not null,
  stands_for    text not null,
  state         text not null check (state in ('closed', 'open')),
  -- When the other was reached last, by anybody; null: never.
  reached_at    timestamptz,
  -- Since when every look failed, without a gap; null: the last one did not.
  failing_since timestamptz,
  looked_at     timestamptz not null,
  check (state = 'closed' or failing_since is not null)
);

-- Sealed kits that were made for when no broker can be reached, and what came back of them.
create table kit (
  id         text collate "C" primary key,
  sealed_at  timestamptz not null,
  sealed_by  jsonb not null,
  -- The Ed25519 key that signs the kit's own log, base64: what it says is believed.
  log_key    text not null,
  threshold  integer not null,
  -- Whose the codes are, in their order.
  holders    jsonb not null,
  grants     jsonb not null,
  expires_at timestamptz not null
);

-- Entries of kits' logs that are in ours. A kit that was copied has a log on each machine.
create table kit_entry (
  kit_id text collate "C" not null,
  log    text collate "C" not null,
  index  integer not null,
  digest text not null,
  primary key (kit_id, log, index)
);

-- The use of each code that came back first. A second one, by another entry, is what is alarmed.
create table kit_code (
  kit_id text collate "C" not null,
  code   integer not null,
  log    text collate "C" not null,
  index  integer not null,
  primary key (kit_id, code)
);
