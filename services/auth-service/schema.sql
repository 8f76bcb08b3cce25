CREATE TABLE public.agent (
    id text NOT NULL,
    name text NOT NULL,
    name_folded text NOT NULL,
    group_name text NOT NULL,
    labels jsonb NOT NULL,
    names jsonb NOT NULL,
    dynamic jsonb NOT NULL,
    generation bigint NOT NULL,
    fingerprint bytea NOT NULL,
    previous_fingerprint bytea,
    generation_seen boolean DEFAULT false NOT NULL,
    renewed_at timestamp with time zone NOT NULL,
    version text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone
);

COMMENT ON TABLE public.agent IS 'Agents that joined. labels and names are what the join token forces.';

CREATE TABLE public.agent_presence (
    agent_id text NOT NULL,
    replica_id text NOT NULL,
    seen_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.agent_presence IS 'Which tunnel replica said when that it holds which agent; for lists only.';

CREATE TABLE public.agent_target (
    agent_id text NOT NULL,
    kind text NOT NULL,
    name_folded text NOT NULL
);

COMMENT ON TABLE public.agent_target IS 'Which agent serves which target.';

CREATE TABLE public.audit_row (
    id bigint NOT NULL,
    log_key text NOT NULL,
    event text NOT NULL,
    created_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.audit_row IS 'Audit events written with the change they tell of; deleted once the log has them.';

ALTER TABLE public.audit_row ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_row_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.authority (
    id text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    public_key bytea NOT NULL,
    private_key bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT authority_kind CHECK ((kind = ANY (ARRAY['user_ssh'::text, 'target_ssh'::text, 'host_ssh'::text, 'user_tls'::text, 'host_tls'::text, 'db_client'::text, 'app_jwt'::text]))),
    CONSTRAINT authority_state CHECK ((state = ANY (ARRAY['active'::text, 'trusted'::text])))
);

COMMENT ON TABLE public.authority IS 'Certificate authorities; private_key is sealed, public_key is an SSH blob, a CA certificate or an SPKI.';

CREATE TABLE public.cluster (
    single boolean DEFAULT true NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT cluster_single CHECK (single)
);

COMMENT ON TABLE public.cluster IS 'The one row that says which cluster this database belongs to.';

CREATE TABLE public.document (
    kind text NOT NULL,
    name text NOT NULL,
    name_folded text NOT NULL,
    revision bigint NOT NULL,
    body json NOT NULL,
    origin text NOT NULL,
    owner_group text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT document_origin CHECK ((origin = ANY (ARRAY['builtin'::text, 'administrator'::text, 'agent'::text])))
);

COMMENT ON TABLE public.document IS 'What administrators manage, and targets that agents registered; body keeps the order of its fields. Holds no secret.';

CREATE TABLE public.invite (
    id text NOT NULL,
    token_hash bytea NOT NULL,
    purpose text NOT NULL,
    user_name text,
    roles jsonb NOT NULL,
    traits jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT invite_purpose CHECK ((purpose = ANY (ARRAY['first_administrator'::text, 'invite'::text, 'reset'::text])))
);

COMMENT ON TABLE public.invite IS 'Links that set a password and a second factor, once.';

CREATE TABLE public.join_token (
    id text NOT NULL,
    token_hash bytea NOT NULL,
    labels jsonb NOT NULL,
    names jsonb NOT NULL,
    group_name text NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone
);

COMMENT ON TABLE public.join_token IS 'One-use tokens with which agents join.';

CREATE TABLE public.live_session (
    id text NOT NULL,
    replica_id text NOT NULL,
    protocol text NOT NULL,
    user_name text NOT NULL,
    target_kind text NOT NULL,
    target text NOT NULL,
    principal text NOT NULL,
    login_id text NOT NULL,
    client_address text NOT NULL,
    started_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.live_session IS 'Sessions as proxies report them.';

CREATE TABLE public.login (
    id text NOT NULL,
    user_name text NOT NULL,
    roles jsonb NOT NULL,
    traits jsonb NOT NULL,
    requests jsonb NOT NULL,
    mfa_at timestamp with time zone,
    source_ip text,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_reason text
);

COMMENT ON TABLE public.login IS 'One row per login; all its certificates carry its id and end no later.';

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    body json,
    created_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.outbox IS 'Changes in the order of their commits, kept for a day for watchers that resume.';

ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.proxy_login (
    login_id text NOT NULL,
    replica_id text NOT NULL,
    key_hash bytea NOT NULL,
    user_name text NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.proxy_login IS 'Which proxy may renew the upstream certificate of which login, for which key.';

CREATE TABLE public.replica (
    id text NOT NULL,
    kind text NOT NULL,
    lease_until timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.replica IS 'Leases of replicas that carry sessions.';

CREATE TABLE public.sealing_key (
    key_id text NOT NULL,
    check_value bytea NOT NULL,
    created_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.sealing_key IS 'A sealed constant per key-encryption key: a wrong key is found before anything is written.';

CREATE TABLE public.session_end (
    id text NOT NULL,
    reason text NOT NULL,
    ended_by text NOT NULL,
    until timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.session_end IS 'Sessions that were told to end, for as long as their login could keep them open.';

CREATE TABLE public.target_name (
    kind text NOT NULL,
    name_folded text NOT NULL,
    owner_group text NOT NULL,
    released_at timestamp with time zone
);

COMMENT ON TABLE public.target_name IS 'Who owns a target''s name; held for a day after its owner was last seen.';

CREATE TABLE public.target_proof (
    session_hash bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.target_proof IS 'SSH session ids that were shown as proof; each counts once.';

CREATE TABLE public.throttle (
    key text NOT NULL,
    level double precision NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    blocked_until timestamp with time zone
);

COMMENT ON TABLE public.throttle IS 'Failed logins per person and per address; keys are bounded in number.';

CREATE TABLE public.user_credential (
    user_name text NOT NULL,
    password_hash text,
    totp_secret bytea,
    totp_last_step bigint DEFAULT 0 NOT NULL,
    valid_after timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.user_credential IS 'What a person proves a login with. Logins older than valid_after are refused.';

ALTER TABLE ONLY public.agent
    ADD CONSTRAINT agent_name UNIQUE (name_folded);

ALTER TABLE ONLY public.agent
    ADD CONSTRAINT agent_pk PRIMARY KEY (id);

ALTER TABLE ONLY public.agent_presence
    ADD CONSTRAINT agent_presence_pk PRIMARY KEY (agent_id, replica_id);

ALTER TABLE ONLY public.agent_target
    ADD CONSTRAINT agent_target_pk PRIMARY KEY (agent_id, kind, name_folded);

ALTER TABLE ONLY public.audit_row
    ADD CONSTRAINT audit_row_pk PRIMARY KEY (id);

ALTER TABLE ONLY public.authority
    ADD CONSTRAINT authority_pk PRIMARY KEY (id);

ALTER TABLE ONLY public.cluster
    ADD CONSTRAINT cluster_pk PRIMARY KEY (single);

ALTER TABLE ONLY public.document
    ADD CONSTRAINT document_pk PRIMARY KEY (kind, name_folded);

ALTER TABLE ONLY public.invite
    ADD CONSTRAINT invite_pk PRIMARY KEY (id);

ALTER TABLE ONLY public.invite
    ADD CONSTRAINT invite_token UNIQUE (token_hash);

ALTER TABLE ONLY public.join_token
    ADD CONSTRAINT join_token_hash UNIQUE (token_hash);

ALTER TABLE ONLY public.join_token
    ADD CONSTRAINT join_token_pk PRIMARY KEY (id);

ALTER TABLE ONLY public.live_session
    ADD CONSTRAINT live_session_pk PRIMARY KEY (id);

ALTER TABLE ONLY public.login
    ADD CONSTRAINT login_pk PRIMARY KEY (id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pk PRIMARY KEY (id);

ALTER TABLE ONLY public.proxy_login
    ADD CONSTRAINT proxy_login_pk PRIMARY KEY (login_id, replica_id, key_hash);

ALTER TABLE ONLY public.replica
    ADD CONSTRAINT replica_pk PRIMARY KEY (id);

ALTER TABLE ONLY public.sealing_key
    ADD CONSTRAINT sealing_key_pk PRIMARY KEY (key_id);

ALTER TABLE ONLY public.session_end
    ADD CONSTRAINT session_end_pk PRIMARY KEY (id);

ALTER TABLE ONLY public.target_name
    ADD CONSTRAINT target_name_pk PRIMARY KEY (kind, name_folded);

ALTER TABLE ONLY public.target_proof
    ADD CONSTRAINT target_proof_pk PRIMARY KEY (session_hash);

ALTER TABLE ONLY public.throttle
    ADD CONSTRAINT throttle_pk PRIMARY KEY (key);

ALTER TABLE ONLY public.user_credential
    ADD CONSTRAINT user_credential_pk PRIMARY KEY (user_name);

CREATE INDEX agent_group ON public.agent USING btree (group_name);

CREATE INDEX agent_presence_replica ON public.agent_presence USING btree (replica_id);

CREATE INDEX agent_target_name ON public.agent_target USING btree (kind, name_folded);

CREATE UNIQUE INDEX authority_active ON public.authority USING btree (kind) WHERE (state = 'active'::text);

CREATE INDEX live_session_replica ON public.live_session USING btree (replica_id);

CREATE INDEX live_session_user ON public.live_session USING btree (user_name);

CREATE INDEX login_expiry ON public.login USING btree (expires_at);

CREATE INDEX login_user ON public.login USING btree (user_name);

CREATE INDEX target_proof_expiry ON public.target_proof USING btree (expires_at);

ALTER TABLE ONLY public.agent_target
    ADD CONSTRAINT agent_target_agent FOREIGN KEY (agent_id) REFERENCES public.agent(id) ON DELETE CASCADE;
