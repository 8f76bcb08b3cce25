/** Protocols without a facet of their own on the agent: a plain connection to `spec.address`. */
import { connect, type Socket } from 'node:net';

import { connectFailureOf, watchPeer } from '@gatehouse/kit/net';
import { hostError, type AgentDial, type AgentProtocol } from '@gatehouse/protocol-api';
import { z } from 'zod';

const specSchema = z.object({ address: z.string() });

/** Shorter than the whole dial may take, so that the person hears why. */
const timeoutMs = 8_000;

export const connectTcp: AgentProtocol = {
  name: 'tcp',
  async connect(dial) {
    const { address } = specSchema.parse(dial.spec);
    const at = address.lastIndexOf(':');
    const host = address.slice(0, at).replace(/^\[|\]$/g, '');
    const port = Number(address.slice(at + 1));
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true, ...watchPeer });
    try {
      await connected(socket, dial.signal);
      return socket;
    } catch (thrown) {
      socket.destroy();
      throw unreachable(dial, thrown);
    }
  },
};

async function connected(socket: Socket, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const onAbort = () => {
    reject(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' }));
  };
  const timer = setTimeout(onAbort, timeoutMs);
  signal.addEventListener('abort', onAbort, { once: true });
  socket.once('connect', () => {
    resolve(undefined);
  });
  // The listener stays: whoever takes the socket adds one later than its first error may come.
  socket.on('error', reject);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

function unreachable({ target }: AgentDial, cause: unknown): Error {
  const { reason, why } = connectFailureOf(cause) ?? { reason: 'refused', why: 'no route to it' };
  return hostError('TARGET_UNREACHABLE', { cause, reason, details: { target, why } });
}
