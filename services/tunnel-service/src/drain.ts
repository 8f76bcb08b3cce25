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

/** What an agent may take to stand elsewhere. */
const handOverMs = 3_000;

/**
 * Proxies go on dialling through here until the agents have left, which they do once they stand elsewhere: an agent whose
 * other tunnel was away just now would be offline otherwise.
 */
async function handOver(live: LiveTunnels): Promise<void> {
  const endMs = performance.now() + handOverMs;
  while (live.size > 0 && performance.now() < endMs) await delay(50);
}

/** Resolves when no connection is left, or when the time for it is over; what is left then is reset as tunnel_lost. */
export async function drainTunnels(options: DrainOptions): Promise<void> {
  const { state, live, rpc, port, config, logger } = options;
  const dials = await drain({
    settings: config,
    state,
    async stopAccepting() {
      port.stopListening();
      for (const { tunnel } of live.all())
        tunnel.control.send({ message: { $case: 'drain', value: {} } });
      await handOver(live);
      live.drain();
    },
    openCount: () => rpc.dialCount(),
  });
  if (dials === 0) return;
  logger.warn({ dials }, 'connections were cut at the end of the drain time');
  rpc.closeAll();
  // The resets need a moment to leave.
  await delay(200);
}
