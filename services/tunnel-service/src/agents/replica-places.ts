/**
 * Which two replicas should have an agent's tunnels (D28): rendezvous hashing over the replicas that proxies reach, so
 * that all say the same, agents spread evenly, and a replica that comes or goes moves no more than it must.
 */
import { createHash } from 'node:crypto';

import type { TunnelConfig } from '../config.js';
import type { LiveTunnels } from './live-tunnels.js';

export interface ReplicaPlacesOptions {
  /** This replica, srv_…. */
  readonly replicaId: string;
  /** Called some moments after the replicas have changed, also where they are the same again by then. */
  onChange(): void;
}

/** What one proxy sees; counts until it is disposed of. */
export interface ReplicaSight extends Disposable {
  set(replicaIds: readonly string[]): void;
}

/** Proxies notice the same change at about the same time. */
const gatherMs = 300;

export class ReplicaPlaces implements Disposable {
  readonly #options: ReplicaPlacesOptions;
  readonly #sights = new Set<{ ids: readonly string[] }>();
  #all: readonly string[] = [];
  #soon: NodeJS.Timeout | undefined;

  constructor(options: ReplicaPlacesOptions) {
    this.#options = options;
  }

  /** Of one more proxy. */
  addSight(): ReplicaSight {
    const sight: { ids: readonly string[] } = { ids: [] };
    this.#sights.add(sight);
    return {
      set: (ids) => {
        sight.ids = ids;
        this.#gather();
      },
      [Symbol.dispose]: () => {
        this.#sights.delete(sight);
        this.#gather();
      },
    };
  }

  /** The agent's two, the better one first; one where there is no other, none before a proxy has said anything. */
  of(agentId: string): string[] {
    return rankReplicas(agentId, this.#all).slice(0, 2);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#soon);
  }

  #gather(): void {
    const seen = [...this.#sights].flatMap(({ ids }) => ids);
    const own = seen.length > 0 ? [this.#options.replicaId] : [];
    const all = [...new Set([...own, ...seen])].toSorted();
    if (all.join() === this.#all.join()) return;
    this.#all = all;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#options.onChange();
    }, gatherMs);
  }
}

/** Whose news go to all agents that are here; those that lack a tunnel are to come no faster than a replica lets them in. */
export function createReplicaPlaces(options: {
  readonly replicaId: string;
  readonly live: LiveTunnels;
  readonly limits: Pick<TunnelConfig['limits'], 'admissions_per_second'>;
}): ReplicaPlaces {
  const { replicaId, live, limits } = options;
  const places = new ReplicaPlaces({
    replicaId,
    onChange() {
      const withinMs = Math.ceil((live.size / limits.admissions_per_second) * 1_000);
      for (const { agentId, tunnel } of live.all()) {
        const value = { replicaIds: places.of(agentId), withinMs };
        tunnel.control.send({ message: { $case: 'replicas', value } });
      }
    },
  });
  return places;
}

/** Highest random weight first. */
export function rankReplicas(agentId: string, replicaIds: readonly string[]): string[] {
  const weighed = replicaIds.map((id) => ({
    id,
    weight: createHash('sha256').update(`${agentId} ${id}`).digest('hex'),
  }));
  return weighed.toSorted((a, b) => (a.weight < b.weight ? 1 : -1)).map(({ id }) => id);
}
