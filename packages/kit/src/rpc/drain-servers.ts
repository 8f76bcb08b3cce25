import { drain, type StopSettings } from '../lifecycle/lifecycle.js';
import type { RpcServer } from './server.js';

/** An orderly stop of rpc servers (D29): callers go to other replicas, and have `drain_timeout` to end their calls. */
export async function drainServers(
  servers: readonly Pick<RpcServer, 'drain' | 'connections'>[],
  { settings, state }: { settings: StopSettings; state: { isDraining: boolean } },
): Promise<void> {
  await drain({
    settings,
    state,
    stopAccepting() {
      for (const server of servers) server.drain(settings.drain_timeout);
    },
    openCount: () => servers.reduce((sum, server) => sum + server.connections(), 0),
  });
}
