/** From what the person gave and what is known already to a cluster that may be talked to. */
import type { ConnectionTarget } from '../cluster/clients.js';
import { discoverCluster, type ClusterInfo } from '../cluster/discover.js';
import type { GlobalCall } from '../command.js';
import { usageError } from '../errors.js';
import type { ProxyAddress } from '../profile/address.js';
import { findKnownCluster } from '../profile/known-clusters.js';

/** A cluster that has proven itself. */
export interface TrustedCluster {
  readonly info: ClusterInfo;
  /** An anonymous connection. */
  readonly target: ConnectionTarget;
}

/** Pins from `--ca-pin`, else `$GATE_CA_PIN`, else those that the cluster is known by. */
export async function trustCluster(
  { environment, options }: GlobalCall,
  home: string,
  address: ProxyAddress,
): Promise<TrustedCluster> {
  const given =
    options['ca-pin'].length > 0
      ? options['ca-pin']
      : splitPins(environment.variables['GATE_CA_PIN']);
  for (const pin of given) checkPin(pin);
  const pins = given.length > 0 ? given : (findKnownCluster(home, address.text)?.caPins ?? []);
  const info = await discoverCluster({ address, pins, nowMs: environment.clock.now() });
  return {
    info,
    target: { address, cluster: info.clusterName, ca: info.caBundle, clock: environment.clock },
  };
}

function splitPins(text: string | undefined): readonly string[] {
  return (text ?? '').split(/[\s,]+/).filter((pin) => pin !== '');
}

function checkPin(pin: string): void {
  if (!/^sha256:[0-9a-f]{64}$/i.test(pin)) {
    throw usageError(`"${pin}" is no pin: it is sha256: and 64 hexadecimal digits`);
  }
}
