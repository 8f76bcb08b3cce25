/** Passes a connection on unopened to the service it is for; a PROXY v2 header tells that service the client's address (D18). */
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import { connectFirst, encodeProxyHeader, joinStreams, splitAddress } from '@gatehouse/kit/net';

import type { Arrival } from './port.js';

const connectTimeoutMs = 5_000;

export interface PassThroughOptions {
  /** Replicas, `host:port`, the best first. */
  readonly addresses: readonly string[];
  readonly proxyId: string;
  readonly logger: Logger;
}

export function passThrough(arrival: Arrival, options: PassThroughOptions): void {
  const { socket } = arrival;
  const { addresses, proxyId, logger } = options;
  const gone = new AbortController();
  const onClose = () => gone.abort(new Error('the client has left'));
  socket.once('close', onClose);
  runInBackground(async () => {
    try {
      const backend = await connectFirst(addresses, {
        timeoutMs: connectTimeoutMs,
        signal: gone.signal,
      });
      socket.off('close', onClose);
      arrival.release();
      const { host, port } = splitAddress(arrival.clientAddress);
      backend.write(encodeProxyHeader({ source: { address: host, port }, proxyId }));
      await joinStreams(socket, backend);
    } catch (thrown) {
      logger.debug({ err: thrown }, 'pass-through failed');
      socket.destroy();
    }
  }, logger);
}
