/** A TCP connection to a target, with the reasons of the *unreachable* text (SSH-07). */
import { connect, type Socket } from 'node:net';

import { connectFailureOf, watchPeer } from '@gatehouse/kit/net';
import { hostError } from '@gatehouse/protocol-api';

/** How long a target may take to answer, ms. */
const connectTimeoutMs = 10_000;
const unexplained = { reason: 'refused', why: 'connection failed' };

export interface TcpDial {
  /** Name of the target, for the error. */
  readonly target: string;
  /** `host:port`, IPv6 in brackets. */
  readonly address: string;
  readonly signal: AbortSignal;
  /** Each direction is ended by itself. Default: the socket closes when the target ends. */
  readonly isHalfOpen?: boolean;
}

/**
 * Connects within 10 s.
 * @throws TARGET_UNREACHABLE with reason refused, not_found or timed_out
 */
export async function connectTcp(dial: TcpDial): Promise<Socket> {
  const { target, address, signal } = dial;
  const separator = address.lastIndexOf(':');
  const host = address.slice(0, separator).replace(/^\[(.*)\]$/, '$1');
  const timeout = AbortSignal.timeout(connectTimeoutMs);
  const port = Number(address.slice(separator + 1));
  const allowHalfOpen = dial.isHalfOpen === true;
  const socket = connect({ host, port, noDelay: true, allowHalfOpen, ...watchPeer });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
      const abort = () => reject(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' }));
      timeout.addEventListener('abort', abort, { once: true });
      signal.addEventListener('abort', abort, { once: true });
    });
    return socket;
  } catch (thrown) {
    socket.destroy();
    socket.on('error', () => undefined);
    const { reason, why } = connectFailureOf(thrown) ?? unexplained;
    throw hostError('TARGET_UNREACHABLE', { details: { target, why }, reason, cause: thrown });
  }
}
