/**
 * The proxy's view of all agents: a watch per tunnel replica, and dials by the best tunnel. What a replica said counts
 * only while its watch stands.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { backoffMs } from '@gatehouse/kit/clock';
import { GatehouseError } from '@gatehouse/kit/errors';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { Channel } from '@grpc/grpc-js';

import { dialError } from '../errors.js';
import { createHop, type Hop, type TargetStream } from './hop.js';
import { PresenceSet, type Presence } from './presence.js';

/** A connection to a replica whose other end is proven to be a tunnel-service: `RpcConnection` of kit/rpc is one. */
export interface ReplicaConnection {
  channel(): Channel;
}

export interface AgentDirectoryOptions {
  /** One per tunnel replica. They belong to the caller, who closes them after the directory. */
  readonly connections: readonly ReplicaConnection[];
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
  /** srv_…; undefined until the replica has said so. */
  readonly replicaId: string | undefined;
  readonly isConnected: boolean;
}

export interface AgentDirectory extends AsyncDisposable {
  /** In the order of `connections`. */
  replicas(): ReplicaState[];
  /**
   * Place in `connections` of a replica, by its id. Without an id, and for one that is not there: one of those that are
   * connected, in turn. −1 where there is none.
   */
  replicaIndex(replicaId: string | undefined): number;
  isOnline(agentOrGroup: string): boolean;
  /** All tunnels. */
  tunnels(): Presence[];
  /** Tunnels of an agent or group, the best first. */
  find(agentOrGroup: string): Presence[];
  /** Resolves true once the agent has a tunnel, false when `timeoutMs` has passed. */
  waitFor(agentOrGroup: string, timeoutMs: number): Promise<boolean>;
  /** Called after each change; gives a function that stops it. */
  onChange(listener: () => void): () => void;
  /**
   * Connects by the best tunnel; by the next one where a tunnel turns out to be gone.
   * @throws with a reason, see Hop.dial; offline when there is no tunnel
   */
  dial(dial: DirectoryDial): Promise<TargetStream>;
}

/** How long a dial waits for a replica that is being connected to before it says `offline`. */
const settleMs = 1_500;

export function createAgentDirectory(options: AgentDirectoryOptions): AgentDirectory {
  return new WatchedDirectory(options);
}

interface Replica {
  readonly index: number;
  readonly hop: Hop;
  replicaId: string | undefined;
  isConnected: boolean;
}

class WatchedDirectory implements AgentDirectory {
  readonly #options: AgentDirectoryOptions;
  readonly #replicas: readonly Replica[];
  readonly #presence = new PresenceSet();
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();
  #turn = 0;

  constructor(options: AgentDirectoryOptions) {
    this.#options = options;
    this.#replicas = options.connections.map((connection, index) => ({
      index,
      hop: createHop({ channel: () => connection.channel() }),
      replicaId: undefined,
      isConnected: false,
    }));
    for (const replica of this.#replicas)
      runInBackground(() => this.#watch(replica), options.logger, 'tunnel watch stopped');
  }

  replicas(): ReplicaState[] {
    return this.#replicas.map(({ replicaId, isConnected }) => ({ replicaId, isConnected }));
  }

  replicaIndex(replicaId: string | undefined): number {
    const connected = this.#replicas.filter(({ isConnected }) => isConnected);
    const named = connected.find((replica) => replica.replicaId === replicaId);
    if (named !== undefined) return named.index;
    this.#turn += 1;
    return connected[this.#turn % Math.max(connected.length, 1)]?.index ?? -1;
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

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async dial(dial: DirectoryDial): Promise<TargetStream> {
    const { group } = dial;
    if (!this.isOnline(group) && this.#isSettling()) await this.waitFor(group, settleMs);
    let last: unknown = dialError('offline');
    for (const tunnel of onePerReplica(this.find(group))) {
      const hop = this.#replicas[tunnel.connection]?.hop;
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
  }

  #isSettling(): boolean {
    return this.#replicas.some(({ isConnected }) => !isConnected);
  }

  #forget(replica: Replica): void {
    replica.isConnected = false;
    this.#presence.forget(replica.index);
    this.#notify();
  }

  async #watch(replica: Replica): Promise<void> {
    const { hop, index } = replica;
    const { signal } = this.#stop;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        await hop.watch((change) => {
          attempt = 0;
          replica.replicaId = change.replicaId;
          replica.isConnected = true;
          this.#presence.apply(index, change);
          this.#notify();
        }, signal);
      } catch (thrown) {
        if (signal.aborted) return;
        const level = replica.isConnected ? 'warn' : 'debug';
        this.#options.logger[level](
          { err: thrown, replica: replica.replicaId },
          'tunnel watch broken',
        );
        this.#forget(replica);
      }
      await pause(50 + backoffMs(attempt, { baseMs: 100, capMs: 2_000 }), signal);
    }
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

function onePerReplica(tunnels: readonly Presence[]): Presence[] {
  const seen = new Set<string>();
  return tunnels.filter(({ connection, agentId }) => {
    const key = `${connection} ${agentId}`;
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
