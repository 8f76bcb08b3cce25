/**
 * Connections of browsers, where nobody proves anything: so many for each address, and in all (LIM-04). None is refused:
 * the quietest of the address that has most is closed, and a browser behind it comes again when it needs to.
 */
import type { Duplex } from 'node:stream';

export interface WebConnectionLimits {
  readonly perAddress: number;
  readonly total: number;
}

export interface WebConnections {
  /** Counts the connection until it closes. */
  add(connection: Duplex, address: string): void;
  /** It asks for something, so others are quieter. */
  asks(connection: Duplex): void;
}

export function createWebConnections(limits: WebConnectionLimits): WebConnections {
  /** Of each address, the quietest first. */
  const byAddress = new Map<string, Set<Duplex>>();
  const addresses = new Map<Duplex, string>();
  const remove = (connection: Duplex) => {
    const address = addresses.get(connection);
    if (address === undefined) return;
    addresses.delete(connection);
    const own = byAddress.get(address);
    own?.delete(connection);
    if (own?.size === 0) byAddress.delete(address);
  };
  const closeQuietest = ([quietest]: Iterable<Duplex>) => {
    if (quietest === undefined) return;
    remove(quietest);
    quietest.destroy();
  };
  return {
    add(connection, address) {
      const own = byAddress.get(address) ?? new Set();
      if (own.size >= limits.perAddress) closeQuietest(own);
      else if (addresses.size >= limits.total) closeQuietest(largestOf(byAddress.values()));
      byAddress.set(address, own.add(connection));
      addresses.set(connection, address);
      connection.once('close', () => remove(connection));
    },
    asks(connection) {
      const own = byAddress.get(addresses.get(connection) ?? '');
      if (own?.delete(connection) === true) own.add(connection);
    },
  };
}

function largestOf(sets: Iterable<ReadonlySet<Duplex>>): ReadonlySet<Duplex> {
  let largest: ReadonlySet<Duplex> = new Set();
  for (const set of sets) if (set.size > largest.size) largest = set;
  return largest;
}
