/**
 * The proxy's view of all agents: a watch per tunnel replica, and dials by the best tunnel. What a replica said counts
 * only while its watch stands.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { backoffMs } from '@gatehouse/kit/clock';
import { GatehouseError } from '@gatehouse/kit/errors';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { ProxyNote } from '@gatehouse/proto/tunnel/v1/tunnel_service';
import type { Channel } from '@grpc/grpc-js';

import { dialError } from '../errors.js';
import { createHop, type Hop, type TargetStream } from './hop.js';
import { PresenceSet, type Presence } from './presence.js';

/** A connection to a replica whose other end is proven to be a tunnel-service: `RpcConnection` of kit/rpc is one. */
export interface ReplicaConnection extends Disposable {
  channel(): Channel;
}

export interface AgentDirectoryOptions {
  /** Opens the connection to the replica at `host:port`. */
  connect(address: string): ReplicaConnection;
  /** This proxy, srv_…: tunnels that came through it are preferred. */
  readonly proxyId: string;
  readonly logger: Logger;
}

export interface DirectoryDial {
  /** The group that owns the target, or an agent's id. */
  readonly group: string;
  /** The grant for the agent that was chosen. */
  grant(agentId: string): Promise<string>;
  readonly sessionId: string;
  readonly traceparent?: string;
  readonly signal: AbortSignal;
}

export interface ReplicaState {
  /** `host:port`. */
  readonly address: string;
  /** srv_…; undefined until the replica has said so. */
  readonly replicaId: string | undefined;
  readonly isConnected: boolean;
}

export interface AgentDirectory extends AsyncDisposable {
  /**
   * The replicas that there are now, by their addresses. One that is no longer among them takes no new part; what goes
   * through it goes on until its connection ends.
   */
  use(addresses: readonly string[]): void;
  replicas(): ReplicaState[];
  /** Asks every agent whose tunnel came through this proxy to dial again, because the proxy is going away (D29). */
  moveTunnels(): Promise<void>;
  isOnline(agentOrGroup: string): boolean;
  /** All tunnels. */
  tunnels(): Presence[];
  /** Tunnels of an agent or group, the best first. */
  find(agentOrGroup: string): Presence[];
  /** Resolves true once the agent has a tunnel, false when `timeoutMs` has passed. */
  waitFor(agentOrGroup: string, timeoutMs: number): Promise<boolean>;
  /** Has the other proxies told, through a replica that is connected. Nobody may hear it. */
  tellProxies(note: ProxyNote): void;
  /** Called with what other proxies tell. */
  onNote(listener: (note: ProxyNote) => void): void;
  /** Called after each change; gives a function that stops it. */
  onChange(listener: () => void): () => void;
  /**
   * Connects by the best tunnel; by the next one where a tunnel turns out to be gone.
   * @throws with a reason, see Hop.dial; offline when there is no tunnel
   */
  dial(dial: DirectoryDial): Promise<TargetStream>;
}

/** How long a dial waits for a replica that is being connected to before it says `offline`. */
const settleMs = 3_000;
/** A replica that has just come back may have all agents of the one that goes next. */
const mostPauseMs = 500;

export function createAgentDirectory(options: AgentDirectoryOptions): AgentDirectory {
  return new WatchedDirectory(options);
}

interface Replica {
  readonly address: string;
  readonly connection: ReplicaConnection;
  readonly hop: Hop;
  /** No longer among the addresses. */
  isRetired: boolean;
  replicaId: string | undefined;
  isConnected: boolean;
}

class WatchedDirectory implements AgentDirectory {
  readonly #options: AgentDirectoryOptions;
  readonly #replicas = new Map<string, Replica>();
  readonly #presence = new PresenceSet();
  readonly #listeners = new Set<() => void>();
  readonly #noteListeners = new Set<(note: ProxyNote) => void>();
  /** Those who hear which replicas are connected. */
  readonly #followers = new Set<(ids: readonly string[]) => void>();
  readonly #stop = new AbortController();

  constructor(options: AgentDirectoryOptions) {
    this.#options = options;
  }

  use(addresses: readonly string[]): void {
    for (const replica of this.#replicas.values())
      replica.isRetired = !addresses.includes(replica.address);
    for (const address of addresses) if (!this.#replicas.has(address)) this.#add(address);
    for (const replica of this.#replicas.values())
      if (replica.isRetired && !replica.isConnected) replica.connection[Symbol.dispose]();
  }

  replicas(): ReplicaState[] {
    return [...this.#replicas.values()].map(({ address, replicaId, isConnected }) => ({
      address,
      replicaId,
      isConnected,
    }));
  }

  async moveTunnels(): Promise<void> {
    const connected = this.#replicas.values().filter(({ isConnected }) => isConnected);
    await Promise.all(
      connected.map(async ({ hop, replicaId }) =>
        hop.moveTunnels().catch((thrown: unknown) => {
          this.#options.logger.warn({ err: thrown, replica: replicaId }, 'tunnels were not moved');
        }),
      ),
    );
  }

  isOnline(agentOrGroup: string): boolean {
    return this.#presence.has(agentOrGroup);
  }

  tunnels(): Presence[] {
    return this.#presence.all();
  }

  find(agentOrGroup: string): Presence[] {
    return this.#presence.find(agentOrGroup, this.#options.proxyId);
  }

  async waitFor(agentOrGroup: string, timeoutMs: number): Promise<boolean> {
    if (this.isOnline(agentOrGroup)) return true;
    return new Promise((resolve) => {
      const finish = (isOnline: boolean) => {
        clearTimeout(timer);
        stop();
        resolve(isOnline);
      };
      const timer = setTimeout(() => {
        finish(false);
      }, timeoutMs);
      const stop = this.onChange(() => {
        if (this.isOnline(agentOrGroup)) finish(true);
      });
    });
  }

  tellProxies(note: ProxyNote): void {
    const { logger } = this.#options;
    const replica = this.#replicas.values().find(({ isConnected }) => isConnected);
    if (replica === undefined) return;
    runInBackground(() => replica.hop.tellProxies(note), logger, 'other proxies were not told');
  }

  onNote(listener: (note: ProxyNote) => void): void {
    this.#noteListeners.add(listener);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async dial(dial: DirectoryDial): Promise<TargetStream> {
    const { group } = dial;
    if (!this.isOnline(group) && this.#isSettling()) await this.waitFor(group, settleMs);
    let last: unknown = dialError('offline');
    for (const tunnel of onePerReplica(this.find(group))) {
      const hop = this.#replicas.get(tunnel.address)?.hop;
      if (hop === undefined) continue;
      try {
        const grant = await dial.grant(tunnel.agentId);
        return await hop.dial({ ...dial, agentId: tunnel.agentId, grant });
      } catch (thrown) {
        if (dial.signal.aborted || !isTunnelGone(thrown)) throw thrown;
        last = thrown;
      }
    }
    throw last;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    this.#stop.abort();
    for (const { connection } of this.#replicas.values()) connection[Symbol.dispose]();
  }

  #add(address: string): void {
    const connection = this.#options.connect(address);
    const replica: Replica = {
      address,
      connection,
      hop: createHop({ channel: () => connection.channel() }),
      isRetired: false,
      replicaId: undefined,
      isConnected: false,
    };
    this.#replicas.set(address, replica);
    runInBackground(() => this.#watch(replica), this.#options.logger, 'tunnel watch stopped');
  }

  #isSettling(): boolean {
    return this.#replicas.values().some(({ isConnected }) => !isConnected);
  }

  #forget(replica: Replica): void {
    if (replica.isConnected) {
      replica.isConnected = false;
      this.#tellReached();
    }
    this.#presence.forget(replica.address);
    this.#notify();
  }

  async #watch(replica: Replica): Promise<void> {
    const { hop, address } = replica;
    const { signal } = this.#stop;
    for (let attempt = 0; !signal.aborted && !replica.isRetired; attempt += 1) {
      try {
        await hop.watch({
          signal,
          followReplicas: (onReplicas) => this.#followReplicas(onReplicas),
          onChange: (change) => {
            attempt = 0;
            if (change.note !== undefined) {
              for (const listener of this.#noteListeners) listener(change.note);
              return;
            }
            const isNew = !replica.isConnected || replica.replicaId !== change.replicaId;
            replica.replicaId = change.replicaId;
            replica.isConnected = true;
            if (isNew) this.#tellReached();
            this.#presence.apply(address, change);
            this.#notify();
          },
        });
      } catch (thrown) {
        if (signal.aborted) return;
        const level = replica.isConnected ? 'warn' : 'debug';
        this.#options.logger[level](
          { err: thrown, replica: replica.replicaId },
          'tunnel watch broken',
        );
        this.#forget(replica);
      }
      await pause(50 + backoffMs(attempt, { baseMs: 100, capMs: mostPauseMs }), signal);
    }
    replica.connection[Symbol.dispose]();
    this.#replicas.delete(address);
  }

  /** Ids of those that are connected, now and after each change. */
  #followReplicas(onReplicas: (ids: readonly string[]) => void): () => void {
    this.#followers.add(onReplicas);
    onReplicas(this.#reached());
    return () => this.#followers.delete(onReplicas);
  }

  #reached(): string[] {
    return this.replicas().flatMap(({ replicaId, isConnected }) =>
      isConnected && replicaId !== undefined ? [replicaId] : [],
    );
  }

  #tellReached(): void {
    const ids = this.#reached();
    for (const follower of this.#followers) follower(ids);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

function onePerReplica(tunnels: readonly Presence[]): Presence[] {
  const seen = new Set<string>();
  return tunnels.filter(({ address, agentId }) => {
    const key = `${address} ${agentId}`;
    return seen.has(key) ? false : seen.add(key);
  });
}

function isTunnelGone(thrown: unknown): boolean {
  const reason = thrown instanceof GatehouseError ? thrown.reason : undefined;
  return reason === 'offline' || reason === 'agent_lost' || reason === 'tunnel_lost';
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
