/** The tunnels that end here, and who wants to hear of them. */
import type {
  AgentPresence,
  ProxyNote,
  WatchAgentsResponse,
} from '@gatehouse/proto/tunnel/v1/tunnel_service';
import type { AcceptedTunnel } from '@gatehouse/tunnel';

import type { Registrar } from './registrar.js';

/** One tunnel of an agent. */
export interface LiveTunnel {
  readonly agentId: string;
  readonly nonce: bigint;
  /** The proxy it came through, srv_…; empty: directly. */
  readonly viaProxy: string;
  readonly tunnel: AcceptedTunnel;
  /** End of the certificate it was opened with, ms since the epoch. */
  readonly expiresAtMs: number;
  /** Globs of names that it takes from documents. */
  readonly dynamic: readonly string[];
  /** Registers it anew, so that it hears what documents give it now. */
  refresh(): void;
  /** From auth-service; the agent's id until it has answered. */
  group: string;
  /** From auth-service; the agent's id until it has answered. */
  name: string;
}

type Watcher = (change: WatchAgentsResponse) => void;

export class LiveTunnels {
  readonly #replicaId: string;
  readonly #all = new Set<LiveTunnel>();
  readonly #shown = new Set<LiveTunnel>();
  readonly #watchers = new Set<Watcher>();
  readonly #told: Pick<Registrar, 'came' | 'left'>;
  #isDraining = false;

  /** @param told hears of agents that come and may have left */
  constructor(replicaId: string, told: Pick<Registrar, 'came' | 'left'>) {
    this.#replicaId = replicaId;
    this.#told = told;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Keeps a tunnel until it ends; proxies hear of it with `show`. */
  add(live: LiveTunnel): void {
    this.#all.add(live);
    this.#told.came();
  }

  /** Tells the proxies of a tunnel, or of its new group. */
  show(live: LiveTunnel): void {
    if (!this.#all.has(live) || this.#isDraining) return;
    this.#shown.add(live);
    this.#tell({ present: [presenceOf(live)], gone: [] });
  }

  /** Do the proxies know of it? */
  isShown(live: LiveTunnel): boolean {
    return this.#shown.has(live);
  }

  remove(live: LiveTunnel): void {
    if (!this.#all.delete(live)) return;
    if (this.#shown.delete(live)) this.#tell({ present: [], gone: [presenceOf(live)] });
    this.#told.left();
  }

  /** Proxies are to dial elsewhere from now on. */
  drain(): void {
    this.#isDraining = true;
    const gone = [...this.#shown].map(presenceOf);
    this.#shown.clear();
    if (gone.length > 0) this.#tell({ present: [], gone });
  }

  /** Tunnels of an agent, the newest first. */
  find(agentId: string): LiveTunnel[] {
    return this.all()
      .filter((live) => live.agentId === agentId)
      .toSorted((a, b) => (a.nonce < b.nonce ? 1 : -1));
  }

  all(): LiveTunnel[] {
    return [...this.#all];
  }

  agentIds(): string[] {
    return [...new Set(this.all().map(({ agentId }) => agentId))];
  }

  /** Calls back with the full set at once, then with each change. */
  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    const present = [...this.#shown].map(presenceOf);
    watcher({ replicaId: this.#replicaId, full: true, present, gone: [], note: undefined });
    return () => this.#watchers.delete(watcher);
  }

  /** Passes a word of a proxy on to all that watch. */
  tellProxies(note: ProxyNote): void {
    this.#tell({ present: [], gone: [], note });
  }

  #tell(change: { note?: ProxyNote; present: AgentPresence[]; gone: AgentPresence[] }): void {
    for (const watcher of this.#watchers)
      watcher({ replicaId: this.#replicaId, full: false, note: undefined, ...change });
  }
}

function presenceOf({ agentId, group, nonce, viaProxy }: LiveTunnel): AgentPresence {
  return { agentId, group, nonce, viaProxy };
}
