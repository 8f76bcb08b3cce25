/** An orderly stop: agents and proxies go elsewhere at once, open connections may end by themselves. */
import { setTimeout as delay } from 'node:timers/promises';

import { drain } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { TunnelRpc } from '@gatehouse/tunnel';

import type { LiveTunnels } from './agents/live-tunnels.js';
import type { PublicPort } from './agents/public-port.js';
import type { TunnelConfig } from './config.js';

export interface DrainOptions {
  readonly state: { isDraining: boolean };
  readonly live: LiveTunnels;
  readonly rpc: TunnelRpc;
  readonly port: Pick<PublicPort, 'stopListening'>;
  readonly config: Pick<TunnelConfig, 'shutdown_delay' | 'drain_timeout'>;
  readonly logger: Logger;
}

/** Resolves when no connection is left, or when the time for it is over; what is left then is reset as tunnel_lost. */
export async function drainTunnels(options: DrainOptions): Promise<void> {
  const { state, live, rpc, port, config, logger } = options;
  const dials = await drain({
    settings: config,
    state,
    stopAccepting() {
      port.stopListening();
      live.drain();
      for (const { tunnel } of live.all())
        tunnel.control.send({ message: { $case: 'drain', value: {} } });
    },
    openCount: () => rpc.dialCount(),
  });
  if (dials === 0) return;
  logger.warn({ dials }, 'connections were cut at the end of the drain time');
  rpc.closeAll();
  // The resets need a moment to leave.
  await delay(200);
}
