import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { netError } from './errors.js';
import { splitAddress } from './split-address.js';

/**
 * A TCP connection to the first of several `host:port` that takes one.
 * @throws NET_NO_CONNECTION when none does; the signal's reason
 */
export async function connectFirst(
  addresses: readonly string[],
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<Socket> {
  let cause: unknown;
  for (const address of addresses) {
    options.signal.throwIfAborted();
    const socket = connect({ ...splitAddress(address), allowHalfOpen: true, noDelay: true });
    socket.on('error', () => socket.destroy());
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)]);
    try {
      await once(socket, 'connect', { signal });
      return socket;
    } catch (thrown) {
      socket.destroy();
      cause = thrown;
    }
  }
  throw netError('NET_NO_CONNECTION', { cause, details: { addresses: addresses.join(', ') } });
}
