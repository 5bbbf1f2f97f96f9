CREATE FUNCTION public.audit_event_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end
$$;

CREATE FUNCTION public.audit_event_month(instant timestamp with time zone) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    declare
      first timestamptz := date_trunc('month', instant, 'UTC');
      month text := 'audit_event_' || to_char(first at time zone 'UTC', 'YYYY_MM');
      place text := format('%I.%I', 'public', month);
    begin
      if to_regclass(place) is null then
        execute format('create table %s partition of %I.audit_event for values from (%L) to (%L)',
          place, 'public', first, (first at time zone 'UTC' + interval '1 month') at time zone 'UTC');
        execute format('create trigger audit_event_append_only before truncate on %s '
          'for each statement execute function %I.audit_event_is_append_only()', place, 'public');
      end if;
      return month;
    end
    $$;

CREATE TABLE public.approval_request (
    id text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    state text NOT NULL,
    digest text NOT NULL,
    grant_name text NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    ask jsonb NOT NULL,
    requester jsonb NOT NULL,
    approvals jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    reason text,
    task_id text COLLATE pg_catalog."C",
    CONSTRAINT approval_request_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'approved'::text, 'denied'::text, 'expired'::text, 'cancelled'::text, 'redeemed'::text])))
);

CREATE SEQUENCE public.audit_event_number
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.audit_event (
    seq bigint DEFAULT nextval('public.audit_event_number'::regclass) NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    at timestamp with time zone NOT NULL,
    kind text NOT NULL,
    task_id text COLLATE pg_catalog."C",
    lease_id text COLLATE pg_catalog."C",
    grant_name text,
    target text,
    issuer text,
    subject text,
    outcome text,
    body text NOT NULL
)
PARTITION BY RANGE (at);

CREATE TABLE public.audit_event_default (
    seq bigint DEFAULT nextval('public.audit_event_number'::regclass) NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    at timestamp with time zone NOT NULL,
    kind text NOT NULL,
    task_id text COLLATE pg_catalog."C",
    lease_id text COLLATE pg_catalog."C",
    grant_name text,
    target text,
    issuer text,
    subject text,
    outcome text,
    body text NOT NULL
);

CREATE TABLE public.audit_pending (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    seqs bigint[] NOT NULL
);

ALTER TABLE public.audit_pending ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_pending_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.break_glass_review (
    id text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    state text NOT NULL,
    grant_name text NOT NULL,
    task_id text NOT NULL COLLATE pg_catalog."C",
    issuer text NOT NULL,
    subject text NOT NULL,
    person jsonb NOT NULL,
    people jsonb NOT NULL,
    practice boolean NOT NULL,
    purpose text NOT NULL,
    ticket text,
    opened_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    closed_by jsonb,
    finding text,
    CONSTRAINT break_glass_review_check CHECK (((state = 'closed'::text) = ((closed_at IS NOT NULL) AND (closed_by IS NOT NULL) AND (finding IS NOT NULL)))),
    CONSTRAINT break_glass_review_state_check CHECK ((state = ANY (ARRAY['open'::text, 'due'::text, 'closed'::text])))
);

CREATE TABLE public.channel_message (
    channel text NOT NULL COLLATE pg_catalog."C",
    request_id text NOT NULL COLLATE pg_catalog."C",
    place jsonb NOT NULL,
    notice jsonb NOT NULL
);

CREATE TABLE public.configuration (
    singleton boolean DEFAULT true NOT NULL,
    digest text NOT NULL,
    parts jsonb NOT NULL,
    loaded_at timestamp with time zone NOT NULL,
    approvals jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT configuration_singleton_check CHECK (singleton)
);

CREATE TABLE public.fallback (
    issuer text NOT NULL,
    version integer NOT NULL,
    stands_for text NOT NULL,
    state text NOT NULL,
    reached_at timestamp with time zone,
    failing_since timestamp with time zone,
    looked_at timestamp with time zone NOT NULL,
    CONSTRAINT fallback_check CHECK (((state = 'closed'::text) OR (failing_since IS NOT NULL))),
    CONSTRAINT fallback_state_check CHECK ((state = ANY (ARRAY['closed'::text, 'open'::text])))
);

CREATE TABLE public.gate (
    singleton boolean DEFAULT true NOT NULL,
    blocks jsonb NOT NULL,
    CONSTRAINT gate_blocks_check CHECK ((jsonb_typeof(blocks) = 'array'::text)),
    CONSTRAINT gate_singleton_check CHECK (singleton)
);

CREATE TABLE public.installation (
    singleton boolean DEFAULT true NOT NULL,
    mark text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    nonce_key text,
    CONSTRAINT installation_mark_check CHECK ((mark ~ '^[0-9a-z]{4}$'::text)),
    CONSTRAINT installation_singleton_check CHECK (singleton)
);

CREATE TABLE public.kill (
    id text NOT NULL COLLATE pg_catalog."C",
    ordered_at timestamp with time zone NOT NULL,
    ordered_by jsonb NOT NULL,
    reason text NOT NULL,
    issuer text,
    subject text,
    grant_name text,
    target text,
    task_id text COLLATE pg_catalog."C",
    tasks integer DEFAULT 0 NOT NULL,
    leases integer DEFAULT 0 NOT NULL,
    marked_at timestamp with time zone,
    lifted_at timestamp with time zone,
    lifted_by jsonb,
    lift_reason text,
    lifts_at timestamp with time zone,
    CONSTRAINT kill_check CHECK (((lifted_at IS NULL) = (lifted_by IS NULL))),
    CONSTRAINT kill_check1 CHECK (((subject IS NULL) OR (issuer IS NOT NULL)))
);

CREATE TABLE public.kit (
    id text NOT NULL COLLATE pg_catalog."C",
    sealed_at timestamp with time zone NOT NULL,
    sealed_by jsonb NOT NULL,
    log_key text NOT NULL,
    threshold integer NOT NULL,
    holders jsonb NOT NULL,
    grants jsonb NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.kit_code (
    kit_id text NOT NULL COLLATE pg_catalog."C",
    code integer NOT NULL,
    log text NOT NULL COLLATE pg_catalog."C",
    index integer NOT NULL
);

CREATE TABLE public.kit_entry (
    kit_id text NOT NULL COLLATE pg_catalog."C",
    log text NOT NULL COLLATE pg_catalog."C",
    index integer NOT NULL,
    digest text NOT NULL
);

CREATE TABLE public.lease (
    id text NOT NULL COLLATE pg_catalog."C",
    task_id text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    state text NOT NULL,
    credential text NOT NULL,
    grant_name text NOT NULL,
    target text NOT NULL,
    provider text NOT NULL,
    name text NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    scope jsonb NOT NULL,
    counted boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    issued_at timestamp with time zone,
    expires_at timestamp with time zone NOT NULL,
    cap_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone,
    handle jsonb,
    sealed text,
    end_reason text,
    ending_since timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    last_error text,
    ended_at timestamp with time zone,
    outcome text,
    evidence jsonb,
    use jsonb,
    CONSTRAINT lease_check CHECK (((state = 'ended'::text) = ((outcome IS NOT NULL) AND (ended_at IS NOT NULL)))),
    CONSTRAINT lease_check1 CHECK (((state = 'ended'::text) = (due_at IS NULL))),
    CONSTRAINT lease_check2 CHECK (((state <> ALL (ARRAY['ending'::text, 'ended'::text])) OR ((end_reason IS NOT NULL) AND (ending_since IS NOT NULL)))),
    CONSTRAINT lease_outcome_check CHECK ((outcome = ANY (ARRAY['revoked'::text, 'denied'::text, 'expired'::text, 'never-minted'::text]))),
    CONSTRAINT lease_state_check CHECK ((state = ANY (ARRAY['minting'::text, 'active'::text, 'ending'::text, 'ended'::text])))
)
WITH (fillfactor='50');

CREATE TABLE public.log_head (
    singleton boolean DEFAULT true NOT NULL,
    origin text NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    checkpoint text,
    witnessed text,
    minimum_index bigint DEFAULT 0 NOT NULL,
    holder text,
    held_until timestamp with time zone,
    fence bigint NOT NULL,
    CONSTRAINT log_head_singleton_check CHECK (singleton)
);

CREATE TABLE public.log_key (
    key text NOT NULL,
    added_at timestamp with time zone NOT NULL
);

CREATE TABLE public.log_leaf (
    index bigint NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL
);

CREATE TABLE public.log_sink (
    name text NOT NULL,
    next_index bigint NOT NULL,
    holder text,
    held_until timestamp with time zone,
    fence bigint NOT NULL,
    refusals integer DEFAULT 0 NOT NULL
);

CREATE TABLE public.log_tile (
    level integer NOT NULL,
    n bigint NOT NULL,
    hashes bytea NOT NULL
);
ALTER TABLE ONLY public.log_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE TABLE public.migration (
    number integer NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.quota (
    key text NOT NULL COLLATE pg_catalog."C",
    live integer DEFAULT 0 NOT NULL,
    total integer DEFAULT 0 NOT NULL,
    hour timestamp with time zone NOT NULL,
    issued integer DEFAULT 0 NOT NULL,
    issued_previous integer DEFAULT 0 NOT NULL
);

CREATE TABLE public.session (
    id text NOT NULL COLLATE pg_catalog."C",
    token_hash text NOT NULL COLLATE pg_catalog."C",
    issuer text NOT NULL,
    subject text NOT NULL,
    principal jsonb NOT NULL,
    began_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    CONSTRAINT session_check CHECK ((ends_at <= expires_at))
);

CREATE TABLE public.signing_key (
    kid text NOT NULL COLLATE pg_catalog."C",
    algorithm text NOT NULL,
    generation integer NOT NULL,
    public_key jsonb NOT NULL,
    sealed text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    signs_from timestamp with time zone NOT NULL,
    CONSTRAINT signing_key_algorithm_check CHECK ((algorithm = ANY (ARRAY['ES256'::text, 'RS256'::text]))),
    CONSTRAINT signing_key_generation_check CHECK ((generation >= 0))
);

CREATE TABLE public.target_watch (
    target text NOT NULL COLLATE pg_catalog."C",
    holder text,
    held_until timestamp with time zone,
    fence bigint NOT NULL,
    unbroken_since timestamp with time zone,
    looked_at timestamp with time zone
);

CREATE TABLE public.task (
    id text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    state text NOT NULL,
    grant_name text NOT NULL,
    grant_version text NOT NULL,
    task_grant_id text COLLATE pg_catalog."C",
    name text NOT NULL,
    purpose text,
    parameters jsonb NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    principal jsonb NOT NULL,
    token_hash text NOT NULL,
    sealed_token text,
    public_key jsonb,
    idempotency_key text,
    request_digest text NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    heartbeat_seconds integer,
    heartbeat_due_at timestamp with time zone,
    ended_at timestamp with time zone,
    end_reason text,
    exit_status integer,
    cnf jsonb,
    ticket text,
    practice boolean DEFAULT false NOT NULL,
    CONSTRAINT task_check CHECK (((state = 'ended'::text) = (ended_at IS NOT NULL))),
    CONSTRAINT task_state_check CHECK ((state = ANY (ARRAY['open'::text, 'ended'::text])))
)
WITH (fillfactor='70');

CREATE TABLE public.task_grant (
    id text NOT NULL COLLATE pg_catalog."C",
    grant_name text NOT NULL,
    grant_version text NOT NULL,
    cut jsonb NOT NULL,
    created_by jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    uses integer NOT NULL
);

CREATE TABLE public.used_evidence (
    id text NOT NULL COLLATE pg_catalog."C",
    used_for text NOT NULL,
    keep_until timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.audit_event ATTACH PARTITION public.audit_event_default DEFAULT;

ALTER TABLE ONLY public.approval_request
    ADD CONSTRAINT approval_request_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.audit_event
    ADD CONSTRAINT audit_event_pkey PRIMARY KEY (seq, at);

ALTER TABLE ONLY public.audit_event_default
    ADD CONSTRAINT audit_event_default_pkey PRIMARY KEY (seq, at);

ALTER TABLE ONLY public.audit_pending
    ADD CONSTRAINT audit_pending_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.break_glass_review
    ADD CONSTRAINT break_glass_review_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.channel_message
    ADD CONSTRAINT channel_message_pkey PRIMARY KEY (channel, request_id);

ALTER TABLE ONLY public.configuration
    ADD CONSTRAINT configuration_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.fallback
    ADD CONSTRAINT fallback_pkey PRIMARY KEY (issuer);

ALTER TABLE ONLY public.gate
    ADD CONSTRAINT gate_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.kill
    ADD CONSTRAINT kill_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.kit_code
    ADD CONSTRAINT kit_code_pkey PRIMARY KEY (kit_id, code);

ALTER TABLE ONLY public.kit_entry
    ADD CONSTRAINT kit_entry_pkey PRIMARY KEY (kit_id, log, index);

ALTER TABLE ONLY public.kit
    ADD CONSTRAINT kit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.log_head
    ADD CONSTRAINT log_head_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.log_key
    ADD CONSTRAINT log_key_pkey PRIMARY KEY (key);

ALTER TABLE ONLY public.log_leaf
    ADD CONSTRAINT log_leaf_pkey PRIMARY KEY (index);

ALTER TABLE ONLY public.log_sink
    ADD CONSTRAINT log_sink_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.log_tile
    ADD CONSTRAINT log_tile_pkey PRIMARY KEY (level, n);

ALTER TABLE ONLY public.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.quota
    ADD CONSTRAINT quota_pkey PRIMARY KEY (key);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY public.signing_key
    ADD CONSTRAINT signing_key_algorithm_generation_key UNIQUE (algorithm, generation);

ALTER TABLE ONLY public.signing_key
    ADD CONSTRAINT signing_key_pkey PRIMARY KEY (kid);

ALTER TABLE ONLY public.target_watch
    ADD CONSTRAINT target_watch_pkey PRIMARY KEY (target);

ALTER TABLE ONLY public.task_grant
    ADD CONSTRAINT task_grant_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.task
    ADD CONSTRAINT task_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.used_evidence
    ADD CONSTRAINT used_evidence_pkey PRIMARY KEY (id);

CREATE UNIQUE INDEX approval_request_digest ON public.approval_request USING btree (digest) WHERE (state = ANY (ARRAY['pending'::text, 'approved'::text]));

CREATE INDEX approval_request_open ON public.approval_request USING btree (expires_at) WHERE (state = ANY (ARRAY['pending'::text, 'approved'::text]));

CREATE INDEX audit_event_at ON ONLY public.audit_event USING brin (at);

CREATE INDEX audit_event_default_at_idx ON public.audit_event_default USING brin (at);

CREATE INDEX audit_event_grant ON ONLY public.audit_event USING btree (grant_name, seq) WHERE (grant_name IS NOT NULL);

CREATE INDEX audit_event_default_grant_name_seq_idx ON public.audit_event_default USING btree (grant_name, seq) WHERE (grant_name IS NOT NULL);

CREATE INDEX audit_event_issuer ON ONLY public.audit_event USING btree (issuer, seq) WHERE (issuer IS NOT NULL);

CREATE INDEX audit_event_default_issuer_seq_idx ON public.audit_event_default USING btree (issuer, seq) WHERE (issuer IS NOT NULL);

CREATE INDEX audit_event_kind ON ONLY public.audit_event USING btree (kind, seq);

CREATE INDEX audit_event_default_kind_seq_idx ON public.audit_event_default USING btree (kind, seq);

CREATE INDEX audit_event_lease ON ONLY public.audit_event USING btree (lease_id, seq) WHERE (lease_id IS NOT NULL);

CREATE INDEX audit_event_default_lease_id_seq_idx ON public.audit_event_default USING btree (lease_id, seq) WHERE (lease_id IS NOT NULL);

CREATE INDEX audit_event_outcome ON ONLY public.audit_event USING btree (outcome, seq) WHERE (outcome IS NOT NULL);

CREATE INDEX audit_event_default_outcome_seq_idx ON public.audit_event_default USING btree (outcome, seq) WHERE (outcome IS NOT NULL);

CREATE INDEX audit_event_subject ON ONLY public.audit_event USING btree (subject, seq) WHERE (subject IS NOT NULL);

CREATE INDEX audit_event_default_subject_seq_idx ON public.audit_event_default USING btree (subject, seq) WHERE (subject IS NOT NULL);

CREATE INDEX audit_event_target ON ONLY public.audit_event USING btree (target, seq) WHERE (target IS NOT NULL);

CREATE INDEX audit_event_default_target_seq_idx ON public.audit_event_default USING btree (target, seq) WHERE (target IS NOT NULL);

CREATE INDEX audit_event_task ON ONLY public.audit_event USING btree (task_id, seq) WHERE (task_id IS NOT NULL);

CREATE INDEX audit_event_default_task_id_seq_idx ON public.audit_event_default USING btree (task_id, seq) WHERE (task_id IS NOT NULL);

CREATE INDEX break_glass_review_open ON public.break_glass_review USING btree (due_at) WHERE (state <> 'closed'::text);

CREATE INDEX kill_identity ON public.kill USING btree (issuer) WHERE (issuer IS NOT NULL);

CREATE INDEX kill_lifting ON public.kill USING btree (lifts_at) WHERE ((lifts_at IS NOT NULL) AND (lifted_at IS NULL));

CREATE INDEX kill_unmarked ON public.kill USING btree (id) WHERE (marked_at IS NULL);

CREATE INDEX lease_due ON public.lease USING btree (target, due_at) WHERE (state <> 'ended'::text);

CREATE INDEX lease_failing ON public.lease USING btree (target) WHERE ((state = 'ending'::text) AND (attempts > 1));

CREATE INDEX lease_killed ON public.lease USING brin (target) WITH (autosummarize='on') WHERE ((end_reason = 'killed'::text) AND (state <> 'ended'::text));

CREATE INDEX lease_of_account ON public.lease USING btree (target, expires_at) WHERE (provider = 'google'::text);

CREATE INDEX lease_task ON public.lease USING btree (task_id);

CREATE INDEX lease_unmarked_grant ON public.lease USING btree (grant_name) WHERE (end_reason IS NULL);

CREATE INDEX lease_unmarked_identity ON public.lease USING btree (issuer, subject) WHERE (end_reason IS NULL);

CREATE UNIQUE INDEX log_leaf_seq ON public.log_leaf USING btree (seq);

CREATE INDEX session_ends ON public.session USING btree (ends_at);

CREATE INDEX session_identity ON public.session USING btree (issuer, subject);

CREATE INDEX task_expiry ON public.task USING btree (expires_at) WHERE (state = 'open'::text);

CREATE UNIQUE INDEX task_idempotency_key ON public.task USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX task_unmarked_actors ON public.task USING gin (((principal -> 'actors'::text)) jsonb_path_ops) WHERE ((end_reason IS NULL) AND (principal ? 'actors'::text));

CREATE INDEX task_unmarked_grant ON public.task USING btree (grant_name) WHERE (end_reason IS NULL);

CREATE INDEX task_unmarked_identity ON public.task USING btree (issuer, subject) WHERE (end_reason IS NULL);

CREATE INDEX used_evidence_expiry ON public.used_evidence USING btree (keep_until);

ALTER INDEX public.audit_event_at ATTACH PARTITION public.audit_event_default_at_idx;

ALTER INDEX public.audit_event_grant ATTACH PARTITION public.audit_event_default_grant_name_seq_idx;

ALTER INDEX public.audit_event_issuer ATTACH PARTITION public.audit_event_default_issuer_seq_idx;

ALTER INDEX public.audit_event_kind ATTACH PARTITION public.audit_event_default_kind_seq_idx;

ALTER INDEX public.audit_event_lease ATTACH PARTITION public.audit_event_default_lease_id_seq_idx;

ALTER INDEX public.audit_event_outcome ATTACH PARTITION public.audit_event_default_outcome_seq_idx;

ALTER INDEX public.audit_event_pkey ATTACH PARTITION public.audit_event_default_pkey;

ALTER INDEX public.audit_event_subject ATTACH PARTITION public.audit_event_default_subject_seq_idx;

ALTER INDEX public.audit_event_target ATTACH PARTITION public.audit_event_default_target_seq_idx;

ALTER INDEX public.audit_event_task ATTACH PARTITION public.audit_event_default_task_id_seq_idx;

CREATE TRIGGER audit_event_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_event FOR EACH STATEMENT EXECUTE FUNCTION public.audit_event_is_append_only();

CREATE TRIGGER audit_event_append_only BEFORE TRUNCATE ON public.audit_event_default FOR EACH STATEMENT EXECUTE FUNCTION public.audit_event_is_append_only();

CREATE TRIGGER audit_event_row_append_only BEFORE DELETE OR UPDATE ON public.audit_event FOR EACH ROW EXECUTE FUNCTION public.audit_event_is_append_only();

CREATE TRIGGER log_leaf_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.log_leaf FOR EACH STATEMENT EXECUTE FUNCTION public.audit_event_is_append_only();

ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.task(id);
