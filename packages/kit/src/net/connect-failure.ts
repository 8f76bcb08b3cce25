/** Why a TCP connection did not come about. */
import { systemErrorCode } from '../errors/errors.js';

export interface ConnectFailure {
  /** Of events: refused, not_found or timed_out. */
  readonly reason: string;
  /** In words, for whoever wanted it. */
  readonly why: string;
}

const failures: Readonly<Record<string, ConnectFailure>> = {
  ECONNREFUSED: { reason: 'refused', why: 'connection refused' },
  ECONNRESET: { reason: 'refused', why: 'connection reset' },
  EHOSTUNREACH: { reason: 'refused', why: 'no route to host' },
  ENETUNREACH: { reason: 'refused', why: 'network is unreachable' },
  ENOTFOUND: { reason: 'not_found', why: 'name not found' },
  EAI_AGAIN: { reason: 'not_found', why: 'name not found' },
  ETIMEDOUT: { reason: 'timed_out', why: 'timed out' },
};

/** Undefined for what is no error of the network. */
export function connectFailureOf(thrown: unknown): ConnectFailure | undefined {
  return failures[systemErrorCode(thrown) ?? ''];
}
