/** Passes a connection on unopened to the service it is for; a PROXY v2 header tells that service the client's address (D18). */
import { connect } from 'node:net';

import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import { encodeProxyHeader, joinStreams, splitAddress } from '@gatehouse/kit/net';

import type { Arrival } from './port.js';

const connectTimeoutMs = 5_000;

export function passThrough(
  arrival: Arrival,
  options: { address: string; proxyId: string; logger: Logger },
): void {
  const { socket } = arrival;
  const backend = connect({ ...splitAddress(options.address), allowHalfOpen: true, noDelay: true });
  const timer = setTimeout(
    () => backend.destroy(new Error('no connection in time')),
    connectTimeoutMs,
  );
  backend.once('close', () => clearTimeout(timer));
  backend.on('error', (error) => {
    options.logger.debug({ err: error, address: options.address }, 'pass-through failed');
    socket.destroy();
  });
  socket.once('close', () => {
    if (backend.connecting) backend.destroy();
  });
  backend.once('connect', () => {
    clearTimeout(timer);
    arrival.release();
    const { host, port } = splitAddress(arrival.clientAddress);
    backend.write(encodeProxyHeader({ source: { address: host, port }, proxyId: options.proxyId }));
    runInBackground(() => joinStreams(socket, backend), options.logger);
  });
}
