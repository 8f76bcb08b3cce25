/** Who may hold a connection: before its certificate is seen a share of an address, afterwards a share of an agent. */
import type { Socket } from 'node:net';

/** Connections that have not yet shown who they are: all together, and of one address (many agents may share one). */
const maxUnproven = { total: 4_000, perAddress: 1_000 };

/** One more ends the oldest. An agent needs one through each proxy, and another while it changes over. */
const maxPerAgent = 8;

/** Counts connections that have not shown who they are; a source that keeps them open can't keep agents out. */
export class UnprovenPlaces {
  readonly #byAddress = new Map<string, Set<Socket>>();
  readonly #limits: typeof maxUnproven;
  #total = 0;

  constructor(limits = maxUnproven) {
    this.#limits = limits;
  }

  /**
   * Takes a place until the connection closes or the returned function is called; undefined: there is none. Where all are
   * taken, the address that has most of them loses its newest.
   */
  take(address: string, socket: Socket): (() => void) | undefined {
    const own = this.#byAddress.get(address) ?? new Set();
    if (own.size >= this.#limits.perAddress) return undefined;
    if (this.#total >= this.#limits.total && !this.#makeRoom(own.size + 1)) return undefined;
    this.#byAddress.set(address, own.add(socket));
    this.#total += 1;
    const release = () => this.#remove(address, socket);
    socket.once('close', release);
    return release;
  }

  #makeRoom(wanted: number): boolean {
    let [most, taken] = ['', new Set<Socket>()];
    for (const [address, sockets] of this.#byAddress)
      if (sockets.size > taken.size) [most, taken] = [address, sockets];
    const newest = [...taken].at(-1);
    if (taken.size <= wanted || newest === undefined) return false;
    this.#remove(most, newest);
    newest.destroy();
    return true;
  }

  #remove(address: string, socket: Socket): void {
    const sockets = this.#byAddress.get(address);
    if (sockets?.delete(socket) !== true) return;
    this.#total -= 1;
    if (sockets.size === 0) this.#byAddress.delete(address);
  }
}

/** Counts the connections of agents; one agent can't take the places of the others. */
export class AgentPlaces {
  readonly #byAgent = new Map<string, Set<Socket>>();
  readonly #total: number;
  #taken = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** Takes a place until the connection closes; false: there is none. Ends the agent's oldest connection where it has 8. */
  take(agentId: string, socket: Socket): boolean {
    const own = this.#byAgent.get(agentId) ?? new Set();
    const [oldest] = own;
    if (oldest !== undefined && own.size >= maxPerAgent) {
      this.#remove(agentId, oldest);
      oldest.destroy();
    }
    if (this.#taken >= this.#total) return false;
    this.#byAgent.set(agentId, own.add(socket));
    this.#taken += 1;
    socket.once('close', () => this.#remove(agentId, socket));
    return true;
  }

  #remove(agentId: string, socket: Socket): void {
    const sockets = this.#byAgent.get(agentId);
    if (sockets?.delete(socket) !== true) return;
    this.#taken -= 1;
    if (sockets.size === 0) this.#byAgent.delete(agentId);
  }
}
