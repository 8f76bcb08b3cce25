-- The cluster, its keys and everything that auth-service owns. Secrets are sealed columns (bytea, AES-256-GCM) or hashes.

create table cluster (
  single boolean not null default true,
  name text not null,
  created_at timestamptz not null,
  constraint cluster_pk primary key (single),
  constraint cluster_single check (single)
);
comment on table cluster is 'The one row that says which cluster this database belongs to.';

create table sealing_key (
  key_id text not null,
  check_value bytea not null,
  created_at timestamptz not null,
  constraint sealing_key_pk primary key (key_id)
);
comment on table sealing_key is 'A sealed constant per key-encryption key: a wrong key is found before anything is written.';

create table authority (
  id text not null,
  kind text not null,
  state text not null,
  public_key bytea not null,
  private_key bytea not null,
  created_at timestamptz not null,
  constraint authority_pk primary key (id),
  constraint authority_kind check (kind in ('user_ssh', 'target_ssh', 'host_ssh', 'user_tls', 'host_tls', 'db_client', 'app_jwt')),
  constraint authority_state check (state in ('active', 'trusted'))
);
create unique index authority_active on authority (kind) where state = 'active';
comment on table authority is 'Certificate authorities; private_key is sealed, public_key is an SSH blob, a CA certificate or an SPKI.';

create table document (
  kind text not null,
  name text not null,
  name_folded text not null,
  revision bigint not null,
  body json not null,
  origin text not null,
  owner_group text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint document_pk primary key (kind, name_folded),
  constraint document_origin check (origin in ('builtin', 'administrator', 'agent'))
);
comment on table document is 'What administrators manage, and targets that agents registered; body keeps the order of its fields. Holds no secret.';

create table user_credential (
  user_name text not null,
  password_hash text,
  totp_secret bytea,
  totp_last_step bigint not null default 0,
  valid_after timestamptz not null,
  constraint user_credential_pk primary key (user_name)
);
comment on table user_credential is 'What a person proves a login with. Logins older than valid_after are refused.';

create table invite (
  id text not null,
  token_hash bytea not null,
  purpose text not null,
  user_name text,
  roles jsonb not null,
  traits jsonb not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz,
  constraint invite_pk primary key (id),
  constraint invite_token unique (token_hash),
  constraint invite_purpose check (purpose in ('first_administrator', 'invite', 'reset'))
);
comment on table invite is 'Links that set a password and a second factor, once.';

create table join_token (
  id text not null,
  token_hash bytea not null,
  labels jsonb not null,
  names jsonb not null,
  group_name text not null,
  created_by text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz,
  constraint join_token_pk primary key (id),
  constraint join_token_hash unique (token_hash)
);
comment on table join_token is 'One-use tokens with which agents join.';

create table throttle (
  key text not null,
  level double precision not null,
  updated_at timestamptz not null,
  blocked_until timestamptz,
  constraint throttle_pk primary key (key)
);
comment on table throttle is 'Failed logins per person and per address; keys are bounded in number.';

create table login (
  id text not null,
  user_name text not null,
  roles jsonb not null,
  traits jsonb not null,
  requests jsonb not null,
  mfa_at timestamptz,
  source_ip text,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  ended_at timestamptz,
  end_reason text,
  constraint login_pk primary key (id)
);
create index login_user on login (user_name);
create index login_expiry on login (expires_at);
comment on table login is 'One row per login; all its certificates carry its id and end no later.';

create table target_proof (
  session_hash bytea not null,
  expires_at timestamptz not null,
  constraint target_proof_pk primary key (session_hash)
);
create index target_proof_expiry on target_proof (expires_at);
comment on table target_proof is 'SSH session ids that were shown as proof; each counts once.';

create table proxy_login (
  login_id text not null,
  replica_id text not null,
  key_hash bytea not null,
  user_name text not null,
  expires_at timestamptz not null,
  constraint proxy_login_pk primary key (login_id, replica_id, key_hash)
);
comment on table proxy_login is 'Which proxy may renew the upstream certificate of which login, for which key.';

create table agent (
  id text not null,
  name text not null,
  name_folded text not null,
  group_name text not null,
  labels jsonb not null,
  names jsonb not null,
  dynamic jsonb not null,
  generation bigint not null,
  fingerprint bytea not null,
  previous_fingerprint bytea,
  generation_seen boolean not null default false,
  renewed_at timestamptz not null,
  version text not null default '',
  created_at timestamptz not null,
  last_seen_at timestamptz,
  constraint agent_pk primary key (id),
  constraint agent_name unique (name_folded)
);
create index agent_group on agent (group_name);
comment on table agent is 'Agents that joined. labels and names are what the join token forces.';

create table agent_target (
  agent_id text not null,
  kind text not null,
  name_folded text not null,
  constraint agent_target_pk primary key (agent_id, kind, name_folded),
  constraint agent_target_agent foreign key (agent_id) references agent (id) on delete cascade
);
create index agent_target_name on agent_target (kind, name_folded);
comment on table agent_target is 'Which agent serves which target.';

create table target_name (
  kind text not null,
  name_folded text not null,
  owner_group text not null,
  released_at timestamptz,
  constraint target_name_pk primary key (kind, name_folded)
);
comment on table target_name is 'Who owns a target''s name; held for a day after its owner was last seen.';

create table agent_presence (
  agent_id text not null,
  replica_id text not null,
  seen_at timestamptz not null,
  constraint agent_presence_pk primary key (agent_id, replica_id)
);
create index agent_presence_replica on agent_presence (replica_id);
comment on table agent_presence is 'Which tunnel replica said when that it holds which agent; for lists only.';

create table replica (
  id text not null,
  kind text not null,
  lease_until timestamptz not null,
  constraint replica_pk primary key (id)
);
comment on table replica is 'Leases of replicas that carry sessions.';

create table live_session (
  id text not null,
  replica_id text not null,
  protocol text not null,
  user_name text not null,
  target_kind text not null,
  target text not null,
  principal text not null,
  login_id text not null,
  client_address text not null,
  started_at timestamptz not null,
  constraint live_session_pk primary key (id)
);
create index live_session_replica on live_session (replica_id);
create index live_session_user on live_session (user_name);
comment on table live_session is 'Sessions as proxies report them.';

create table outbox (
  id bigint generated always as identity,
  kind text not null,
  name text not null,
  body json,
  created_at timestamptz not null,
  constraint outbox_pk primary key (id)
);
comment on table outbox is 'Changes in the order of their commits, kept for a day for watchers that resume.';

create table audit_row (
  id bigint generated always as identity,
  log_key text not null,
  event text not null,
  created_at timestamptz not null,
  constraint audit_row_pk primary key (id)
);
comment on table audit_row is 'Audit events written with the change they tell of; deleted once the log has them.';
