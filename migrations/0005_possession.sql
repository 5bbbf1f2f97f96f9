-- The keys that the holder of a task's token must prove to hold, as RFC 7800 writes them; null: the token alone will do.
alter table task add column cnf jsonb;

-- Makes the nonces for proofs of possession, so that all replicas know them. It opens nothing by itself.
alter table installation add column nonce_key text;
