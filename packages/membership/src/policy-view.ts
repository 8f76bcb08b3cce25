/**
 * A service's own view of the cluster's documents, kept by auth-service's Watch (D10, D27): who people are, what roles
 * say, what is locked, what there is to connect to. Decisions read it; they never ask over the network.
 */
import type { Identity } from '@gatehouse/identity';
import { backoffMs, sleep, type Clock } from '@gatehouse/kit/clock';
import { idTime } from '@gatehouse/kit/ids';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { RpcConnection } from '@gatehouse/kit/rpc';
import {
  findUnreadableLock,
  parseRole,
  readLock,
  type Lock,
  type Role,
  type TargetKind,
} from '@gatehouse/policy';
import {
  ClusterServiceDefinition,
  type DocumentChange,
  type WatchResponse,
} from '@gatehouse/proto/auth/v1/cluster_service';
import type { TrustBundle } from '@gatehouse/proto/auth/v1/trust';
import { z } from 'zod';

export interface UserRecord {
  readonly name: string;
  readonly roles: readonly string[];
  readonly traits: Readonly<Record<string, readonly string[]>>;
  /** Logins begun before are refused, ms since the epoch. */
  readonly validAfterMs: number;
  /** What was done before under the name was done by somebody else, ms since the epoch. */
  readonly createdAtMs: number;
}

export interface TargetRecord {
  readonly kind: TargetKind;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly protocol: string;
  readonly spec: unknown;
  /** The agent group that owns the name. */
  readonly agent: string;
}

export interface AgentRecord {
  /** agt_… */
  readonly id: string;
  readonly name: string;
  readonly group: string;
}

/** What changed; `snapshot` after a whole new view. */
export interface PolicyChange {
  readonly kind: string;
  readonly name: string;
  readonly document?: unknown;
}

export interface PolicyViewOptions {
  readonly auth: RpcConnection;
  readonly kinds: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  onTrust?(trust: TrustBundle): void;
}

export interface PolicyView extends AsyncDisposable {
  /** Resolves with the first complete snapshot. */
  readonly ready: Promise<void>;
  isReady(): boolean;
  user(name: string): UserRecord | undefined;
  /** The documents of the roles that a certificate names and its user still has (D15). */
  rolesOf(identity: Identity): Role[];
  /** Why no certificate of this login is accepted any more, or undefined. */
  refusalOf(identity: Identity): 'no_such_user' | 'logged_out' | 'reset' | undefined;
  locks(): readonly Lock[];
  /** There is a lock of which nobody can say whom it names: nothing new may be opened. */
  hasUnreadableLock(): boolean;
  target(kinds: readonly TargetKind[], name: string): TargetRecord | undefined;
  targets(): Iterable<TargetRecord>;
  /** By id. */
  agent(id: string): AgentRecord | undefined;
  /** The agents of a group, or of all groups, connected or not. */
  agents(group?: string): readonly AgentRecord[];
  /** No word from auth-service for 15 s. */
  isStale(): boolean;
  /** Auth-service's clock minus this one, ms; 0 until known. */
  clockSkewMs(): number;
  /** The last change that is in it, and how often it was read as a whole: more than once means that changes were missing. */
  progress(): { readonly lastId: number; readonly snapshots: number };
  onChange(listener: (change: PolicyChange) => void): void;
}

const staleAfterMs = 15_000;
const targetKinds: readonly TargetKind[] = ['node', 'kube_cluster', 'database', 'app', 'desktop'];

const userSchema = z.object({
  spec: z.object({
    roles: z.array(z.string()),
    traits: z.record(z.string(), z.array(z.string())).default({}),
  }),
  state: z.object({ validAfter: z.string().nullish(), createdAt: z.string().nullish() }).nullish(),
});

const targetSchema = z.object({
  kind: z.enum(['node', 'kube_cluster', 'database', 'app', 'desktop']),
  metadata: z.object({ name: z.string(), labels: z.record(z.string(), z.string()).default({}) }),
  protocol: z.string(),
  agent: z.string().default(''),
  spec: z.unknown(),
});

const agentSchema = z.object({ id: z.string(), name: z.string(), group: z.string() });

const loginEndSchema = z.object({ until: z.string().optional() });

interface Documents {
  readonly users: Map<string, UserRecord>;
  /** `undefined`: a role that this version does not understand. */
  readonly roles: Map<string, Role | undefined>;
  readonly locks: Map<string, Lock>;
  readonly targets: Map<string, TargetRecord>;
  /** By id. */
  readonly agents: Map<string, AgentRecord>;
  readonly endedLogins: Set<string>;
}

function emptyDocuments(): Documents {
  return {
    users: new Map(),
    roles: new Map(),
    locks: new Map(),
    targets: new Map(),
    agents: new Map(),
    endedLogins: new Set(),
  };
}

/** Starts watching; goes on for ever with back-off until disposed. */
export function watchPolicy(options: PolicyViewOptions): PolicyView {
  return new WatchedPolicy(options);
}

class WatchedPolicy implements PolicyView {
  readonly ready: Promise<void>;
  readonly #options: PolicyViewOptions;
  readonly #stop = new AbortController();
  readonly #listeners: ((change: PolicyChange) => void)[] = [];
  readonly #markReady: () => void;
  #documents = emptyDocuments();
  /** A snapshot on its way. */
  #incoming: Documents | undefined;
  #lastId = 0n;
  #heardAt: number;
  #skewMs = 0;
  #isReady = false;
  #snapshots = 0;

  constructor(options: PolicyViewOptions) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#markReady = resolve;
    this.#options = options;
    this.#heardAt = options.clock.monotonic();
    runInBackground(() => this.#followForEver(), options.logger, 'watch stopped');
  }

  isReady(): boolean {
    return this.#isReady;
  }
  user(name: string): UserRecord | undefined {
    return this.#documents.users.get(name);
  }
  rolesOf(identity: Identity): Role[] {
    return rolesOf(this.#documents, identity);
  }
  refusalOf(identity: Identity): ReturnType<PolicyView['refusalOf']> {
    return refusalOf(this.#documents, identity);
  }
  locks(): readonly Lock[] {
    return [...this.#documents.locks.values()];
  }
  hasUnreadableLock(): boolean {
    return findUnreadableLock(this.locks()) !== undefined;
  }
  target(kinds: readonly TargetKind[], name: string): TargetRecord | undefined {
    return findTarget(this.#documents, kinds, name);
  }
  targets(): Iterable<TargetRecord> {
    return this.#documents.targets.values();
  }
  agent(id: string): AgentRecord | undefined {
    return this.#documents.agents.get(id);
  }
  agents(group?: string): readonly AgentRecord[] {
    const all = [...this.#documents.agents.values()];
    return group === undefined ? all : all.filter((agent) => agent.group === group);
  }
  isStale(): boolean {
    return this.#options.clock.monotonic() - this.#heardAt > staleAfterMs;
  }
  clockSkewMs(): number {
    return this.#skewMs;
  }
  progress(): { lastId: number; snapshots: number } {
    return { lastId: Number(this.#lastId), snapshots: this.#snapshots };
  }
  onChange(listener: (change: PolicyChange) => void): void {
    this.#listeners.push(listener);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
  }

  async #followForEver(): Promise<void> {
    const { logger } = this.#options;
    for (let attempt = 0; !this.#stop.signal.aborted; attempt += 1) {
      const before = this.#heardAt;
      try {
        await this.#followOnce();
      } catch (thrown) {
        if (this.#stop.signal.aborted) return;
        logger.warn({ err: thrown }, 'watch broke; trying again');
      }
      this.#incoming = undefined;
      if (this.#heardAt !== before) attempt = 0;
      await sleep(backoffMs(attempt, { baseMs: 100, capMs: 2_000 }), this.#stop.signal).catch(
        () => undefined,
      );
    }
  }

  /** One stream to its end; a stream that says nothing for 15 s is given up. */
  async #followOnce(): Promise<void> {
    const { auth, clock, kinds } = this.#options;
    const quiet = new AbortController();
    const openedAt = clock.monotonic();
    const timer = setInterval(() => {
      if (clock.monotonic() - Math.max(this.#heardAt, openedAt) > staleAfterMs) quiet.abort();
    }, 5_000);
    try {
      const signal = AbortSignal.any([this.#stop.signal, quiet.signal]);
      const stream = auth
        .client(ClusterServiceDefinition)
        .watch({ afterId: this.#lastId, kinds: [...kinds] }, { signal });
      for await (const { event } of stream) if (event !== undefined) this.#take(event);
    } finally {
      clearInterval(timer);
    }
  }

  #take(event: NonNullable<WatchResponse['event']>): void {
    const { clock } = this.#options;
    this.#heardAt = clock.monotonic();
    switch (event.$case) {
      case 'snapshotBegin':
        this.#incoming = emptyDocuments();
        return;
      case 'change':
        this.#takeChange(event.value);
        return;
      case 'snapshotEnd':
        this.#documents = this.#incoming ?? this.#documents;
        this.#incoming = undefined;
        this.#lastId = event.value.id;
        this.#isReady = true;
        this.#snapshots += 1;
        this.#markReady();
        this.#notify({ kind: 'snapshot', name: '' });
        return;
      case 'heartbeat':
        this.#skewMs = (event.value.time?.getTime() ?? clock.now()) - clock.now();
        return;
      case 'trust':
        this.#options.onTrust?.(event.value);
    }
  }

  #takeChange({ id, kind, name, documentJson }: DocumentChange): void {
    const document: unknown = documentJson === '' ? undefined : JSON.parse(documentJson);
    const documents = this.#incoming ?? this.#documents;
    const { logger } = this.#options;
    try {
      applyChange(documents, { kind, name, document });
    } catch (thrown) {
      logger.error({ err: thrown, kind, document: name }, 'document is not understood');
      markNotUnderstood(documents, kind, name);
    }
    const problem = kind === 'lock' ? documents.locks.get(name)?.problem : undefined;
    if (problem !== undefined) logger.error({ lock: name, problem }, 'lock is not understood');
    if (id !== 0n) this.#lastId = id;
    // The end of a session is no document: it is heard, not kept.
    if (this.#incoming === undefined || kind === 'session_end')
      this.#notify({ kind, name, document });
  }

  #notify(change: PolicyChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

function rolesOf(documents: Documents, identity: Identity): Role[] {
  const current = documents.users.get(identity.user)?.roles ?? [];
  const names = identity.roles.filter((name) => current.includes(name));
  const roles = names
    .filter((name) => documents.roles.has(name))
    .map((name) => documents.roles.get(name));
  // What a role that is not understood denies is not known: with one of them a person has none at all.
  return roles.includes(undefined) ? [] : roles.filter((role) => role !== undefined);
}

/** Keeps nothing of what a document said before it became one that this version can't read. */
function markNotUnderstood(documents: Documents, kind: string, name: string): void {
  if (kind === 'role') documents.roles.set(name, undefined);
  if (kind === 'user') documents.users.delete(name);
  if (kind === 'agent') documents.agents.delete(name);
  if (isTargetKind(kind)) documents.targets.delete(targetKey(kind, name));
}

function refusalOf(
  documents: Documents,
  identity: Identity,
): 'no_such_user' | 'logged_out' | 'reset' | undefined {
  const user = documents.users.get(identity.user);
  if (user === undefined) return 'no_such_user';
  if (documents.endedLogins.has(identity.loginId)) return 'logged_out';
  return idTime(identity.loginId) < user.validAfterMs ? 'reset' : undefined;
}

function findTarget(
  documents: Documents,
  kinds: readonly TargetKind[],
  name: string,
): TargetRecord | undefined {
  for (const kind of kinds) {
    const found = documents.targets.get(targetKey(kind, name));
    if (found !== undefined) return found;
  }
  return undefined;
}

function targetKey(kind: string, name: string): string {
  return `${kind}/${name.toLowerCase()}`;
}

function applyChange(documents: Documents, change: PolicyChange): void {
  const { kind, name, document } = change;
  if (kind === 'user') replace(documents.users, change, readUser);
  else if (kind === 'role') replace(documents.roles, change, parseRole);
  else if (kind === 'lock') replace(documents.locks, change, readLock);
  else if (kind === 'agent') replace(documents.agents, change, readAgent);
  else if (kind === 'login_end') applyLoginEnd(documents, name, document);
  else if (isTargetKind(kind))
    replace(documents.targets, { name: targetKey(kind, name), document }, readTarget);
}

function isTargetKind(kind: string): boolean {
  return targetKinds.some((known) => known === kind);
}

function replace<T>(
  map: Map<string, T>,
  { name, document }: { readonly name: string; readonly document?: unknown },
  read: (document: unknown, name: string) => T,
): void {
  if (document === undefined) map.delete(name);
  else map.set(name, read(document, name));
}

function applyLoginEnd(documents: Documents, loginId: string, document: unknown): void {
  if (document === undefined) documents.endedLogins.delete(loginId);
  else if (loginEndSchema.safeParse(document).success) documents.endedLogins.add(loginId);
}

function readUser(document: unknown, name: string): UserRecord {
  const { spec, state } = userSchema.parse(document);
  const readTime = (time: string | null | undefined) =>
    time === undefined || time === null ? 0 : Date.parse(time);
  return {
    name,
    ...spec,
    validAfterMs: readTime(state?.validAfter),
    createdAtMs: readTime(state?.createdAt),
  };
}

function readAgent(document: unknown): AgentRecord {
  return agentSchema.parse(document);
}

function readTarget(document: unknown): TargetRecord {
  const { kind, metadata, protocol, agent, spec } = targetSchema.parse(document);
  return { kind, name: metadata.name, labels: metadata.labels, protocol, agent, spec };
}
