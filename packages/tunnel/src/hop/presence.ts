/** Which agent's tunnels end at which replica, as the replicas themselves say (D28). Pure. */
import type { AgentPresence, WatchAgentsResponse } from '@gatehouse/proto/tunnel/v1/tunnel_service';

/** One tunnel of an agent. */
export interface Presence {
  readonly agentId: string;
  /** The group that owns its targets' names. */
  readonly group: string;
  /** Where the replica is reached, `host:port`. */
  readonly address: string;
  readonly replicaId: string;
  /** The proxy through which the tunnel came; empty: none. */
  readonly viaProxy: string;
  /** Grows with each tunnel of the agent. */
  readonly nonce: bigint;
}

/** Agents in one replica's set; more are not kept. */
const maxTunnels = 200_000;

export class PresenceSet {
  readonly #byAddress = new Map<string, Map<string, Presence>>();

  /** Takes a change of one replica. A tunnel that left and one that came have different nonces, so order is no matter. */
  apply(address: string, change: WatchAgentsResponse): void {
    const { full, replicaId, present, gone } = change;
    const old = this.#byAddress.get(address);
    const tunnels = full || old === undefined ? new Map<string, Presence>() : old;
    this.#byAddress.set(address, tunnels);
    for (const agent of gone) tunnels.delete(keyOf(agent));
    for (const agent of present) {
      if (tunnels.size >= maxTunnels) break;
      const { agentId, group, viaProxy, nonce } = agent;
      tunnels.set(keyOf(agent), { agentId, group, address, replicaId, viaProxy, nonce });
    }
  }

  /** Forgets a replica that can't be reached. */
  forget(address: string): void {
    this.#byAddress.delete(address);
  }

  /** The tunnels of an agent (by id) or of a group, the newest first, those through `proxyId` before others. */
  find(agentOrGroup: string, proxyId: string): Presence[] {
    const found = this.all().filter(
      ({ agentId, group }) => agentId === agentOrGroup || group === agentOrGroup,
    );
    const rank = (tunnel: Presence) => (tunnel.viaProxy === proxyId ? 0 : 1);
    return found.toSorted((a, b) => rank(a) - rank(b) || (a.nonce < b.nonce ? 1 : -1));
  }

  has(agentOrGroup: string): boolean {
    return this.#byAddress
      .values()
      .some((tunnels) =>
        tunnels
          .values()
          .some(({ agentId, group }) => agentId === agentOrGroup || group === agentOrGroup),
      );
  }

  all(): Presence[] {
    return [...this.#byAddress.values()].flatMap((tunnels) => [...tunnels.values()]);
  }
}

function keyOf(agent: AgentPresence): string {
  return `${agent.agentId} ${agent.nonce}`;
}
