/** Table types. A test compares them with the migrated database. */
import type { Generated, JSONColumnType } from 'kysely';

/** Any JSON object, as jsonb holds it. */
export type JsonObject = { readonly [key: string]: unknown };

type Strings = JSONColumnType<readonly string[], string, string>;
type StringMap = JSONColumnType<Readonly<Record<string, string>>, string, string>;
type Traits = JSONColumnType<Readonly<Record<string, readonly string[]>>, string, string>;

export interface ClusterTable {
  single: Generated<boolean>;
  name: string;
  created_at: Date;
}

export interface SealingKeyTable {
  key_id: string;
  check_value: Buffer;
  created_at: Date;
}

export type AuthorityKind =
  | 'user_ssh'
  | 'target_ssh'
  | 'host_ssh'
  | 'user_tls'
  | 'host_tls'
  | 'db_client'
  | 'app_jwt';

export interface AuthorityTable {
  id: string;
  kind: AuthorityKind;
  state: 'active' | 'trusted';
  public_key: Buffer;
  private_key: Buffer;
  created_at: Date;
}

export type DocumentOrigin = 'builtin' | 'administrator' | 'agent';

export interface DocumentTable {
  kind: string;
  name: string;
  name_folded: string;
  revision: number;
  body: JSONColumnType<JsonObject, string, string>;
  origin: DocumentOrigin;
  owner_group: string | null;
  created_at: Date;
  updated_at: Date;
}

export interface UserCredentialTable {
  user_name: string;
  password_hash: string | null;
  totp_secret: Buffer | null;
  totp_last_step: Generated<number>;
  valid_after: Date;
}

export type InvitePurpose = 'first_administrator' | 'invite' | 'reset';

export interface InviteTable {
  id: string;
  token_hash: Buffer;
  purpose: InvitePurpose;
  user_name: string | null;
  roles: Strings;
  traits: Traits;
  created_at: Date;
  expires_at: Date;
  used_at: Date | null;
}

export interface JoinTokenTable {
  id: string;
  token_hash: Buffer;
  labels: StringMap;
  names: Strings;
  group_name: string;
  created_by: string;
  created_at: Date;
  expires_at: Date;
  used_at: Date | null;
}

export interface ThrottleTable {
  key: string;
  level: number;
  updated_at: Date;
  blocked_until: Date | null;
}

export interface LoginTable {
  id: string;
  user_name: string;
  roles: Strings;
  traits: Traits;
  requests: Strings;
  mfa_at: Date | null;
  source_ip: string | null;
  created_at: Date;
  expires_at: Date;
  ended_at: Date | null;
  end_reason: string | null;
}

export interface TargetProofTable {
  session_hash: Buffer;
  expires_at: Date;
}

export interface ProxyLoginTable {
  login_id: string;
  replica_id: string;
  key_hash: Buffer;
  user_name: string;
  expires_at: Date;
}

export interface AgentTable {
  id: string;
  name: string;
  name_folded: string;
  group_name: string;
  labels: StringMap;
  names: Strings;
  dynamic: Strings;
  generation: number;
  fingerprint: Buffer;
  previous_fingerprint: Buffer | null;
  generation_seen: Generated<boolean>;
  renewed_at: Date;
  version: Generated<string>;
  created_at: Date;
  last_seen_at: Date | null;
}

export interface AgentTargetTable {
  agent_id: string;
  kind: string;
  name_folded: string;
}

export interface TargetNameTable {
  kind: string;
  name_folded: string;
  owner_group: string;
  released_at: Date | null;
}

export interface AgentPresenceTable {
  agent_id: string;
  replica_id: string;
  seen_at: Date;
}

export interface ReplicaTable {
  id: string;
  kind: string;
  lease_until: Date;
}

export interface LiveSessionTable {
  id: string;
  replica_id: string;
  protocol: string;
  user_name: string;
  target_kind: string;
  target: string;
  principal: string;
  login_id: string;
  client_address: string;
  started_at: Date;
}

export interface SessionEndTable {
  id: string;
  reason: string;
  ended_by: string;
  until: Date;
}

export interface OutboxTable {
  id: Generated<number>;
  kind: string;
  name: string;
  body: JSONColumnType<JsonObject, string | null, string | null> | null;
  created_at: Date;
}

export interface AuditRowTable {
  id: Generated<number>;
  log_key: string;
  event: string;
  created_at: Date;
}

/** Everything in auth-service's database. */
export interface Tables {
  cluster: ClusterTable;
  sealing_key: SealingKeyTable;
  authority: AuthorityTable;
  document: DocumentTable;
  user_credential: UserCredentialTable;
  invite: InviteTable;
  join_token: JoinTokenTable;
  throttle: ThrottleTable;
  login: LoginTable;
  target_proof: TargetProofTable;
  proxy_login: ProxyLoginTable;
  agent: AgentTable;
  agent_target: AgentTargetTable;
  target_name: TargetNameTable;
  agent_presence: AgentPresenceTable;
  replica: ReplicaTable;
  live_session: LiveSessionTable;
  session_end: SessionEndTable;
  outbox: OutboxTable;
  audit_row: AuditRowTable;
}
