/**
 * Connections that are no session themselves but let sessions in (jump hosts): they end with the certificate, the login or
 * a lock of the person behind them, as sessions do.
 */
import type { Duplex } from 'node:stream';

import type { Identity } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import type { PolicyView } from '@gatehouse/membership';
import { findLock } from '@gatehouse/policy';

export interface GatewayWatch {
  /** Watches a connection until it closes. */
  add(client: Duplex, identity: Identity): void;
}

export function watchGateways(deps: {
  readonly policy: PolicyView;
  readonly clock: Clock;
  identityEndsAt(identity: Identity): number;
}): GatewayWatch {
  const { policy, clock } = deps;
  const gateways = new Map<Duplex, Identity>();
  const isOver = (identity: Identity): boolean => {
    const { user, roles, loginId, requests = [] } = identity;
    if (policy.refusalOf(identity) !== undefined) return true;
    return findLock(policy.locks(), { user, roles, loginId, requests }, clock.now()) !== undefined;
  };
  policy.onChange(() => {
    for (const [client, identity] of gateways) if (isOver(identity)) client.destroy();
  });
  return {
    add(client, identity) {
      if (isOver(identity)) client.destroy();
      if (gateways.has(client) || client.destroyed) return;
      gateways.set(client, identity);
      const leftMs = Math.max(0, deps.identityEndsAt(identity) - clock.now());
      const timer = setTimeout(() => client.destroy(), Math.min(leftMs, 2 ** 31 - 1));
      timer.unref();
      client.once('close', () => {
        clearTimeout(timer);
        gateways.delete(client);
      });
    },
  };
}
