/** A TCP connection to a target, with the reasons of the *unreachable* text (SSH-07). */
import { connect, type Socket } from 'node:net';

import { systemErrorCode } from '@gatehouse/kit/errors';
import { hostError } from '@gatehouse/protocol-api';

/** How long a target may take to answer, ms. */
const connectTimeoutMs = 10_000;

const reasons: Readonly<Record<string, { reason: string; why: string }>> = {
  ECONNREFUSED: { reason: 'refused', why: 'connection refused' },
  ENOTFOUND: { reason: 'not_found', why: 'name not found' },
  EAI_AGAIN: { reason: 'not_found', why: 'name not found' },
  ETIMEDOUT: { reason: 'timed_out', why: 'timed out' },
  EHOSTUNREACH: { reason: 'refused', why: 'no route to host' },
  ENETUNREACH: { reason: 'refused', why: 'network is unreachable' },
};

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
  const socket = connect({ host, port, noDelay: true, allowHalfOpen });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
      const abort = () => reject(new Error('timed out'));
      timeout.addEventListener('abort', abort, { once: true });
      signal.addEventListener('abort', abort, { once: true });
    });
    return socket;
  } catch (thrown) {
    socket.destroy();
    socket.on('error', () => undefined);
    const { reason, why } = reasons[systemErrorCode(thrown) ?? ''] ?? reasonOf(thrown);
    throw hostError('TARGET_UNREACHABLE', { details: { target, why }, reason, cause: thrown });
  }
}

function reasonOf(thrown: unknown): { reason: string; why: string } {
  const isTimeout = thrown instanceof Error && thrown.message === 'timed out';
  return isTimeout
    ? { reason: 'timed_out', why: 'timed out' }
    : { reason: 'refused', why: 'connection failed' };
}
