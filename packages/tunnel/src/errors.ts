/**
 * Why a connection through a tunnel did not come about or was lost. Each error carries one {@link DialReason} as its
 * `reason`: the host turns it into the words of its protocol.
 */
import { createErrorFactory, type GatehouseError } from '@gatehouse/kit/errors';

export const tunnelErrors = {
  TARGET_REFUSED: { kind: 'unavailable', message: 'connection refused' },
  TARGET_NOT_FOUND: { kind: 'unavailable', message: 'name not found' },
  TARGET_TIMED_OUT: { kind: 'unavailable', message: 'timed out' },
  TARGET_REFUSED_LOGIN: { kind: 'failed_precondition', message: 'the target refused the login' },
  DIAL_NOT_ALLOWED: { kind: 'permission_denied', message: 'the agent refused the dial' },
  AGENT_OFFLINE: { kind: 'unavailable', message: 'the agent is offline' },
  AGENT_LOST: { kind: 'unavailable', message: 'the connection to the agent was lost' },
  TUNNEL_LOST: { kind: 'unavailable', message: 'the connection to the tunnel service was lost' },
  TUNNEL_BUSY: {
    kind: 'resource_exhausted',
    message: 'too many connections through this agent',
  },
  CONNECTION_RESET: { kind: 'unavailable', message: 'the other end gave the connection up' },
  TUNNEL_HANDSHAKE: { kind: 'unavailable', message: 'the tunnel did not come about: {why}' },
  FRAME_INVALID: { kind: 'invalid_argument', message: 'a frame is not valid: {why}' },
} as const;

export const tunnelError = createErrorFactory(tunnelErrors);

/** All reasons. Their order is part of the protocol: an RST_STREAM carries the index. Add at the end. */
const dialReasons = [
  'closed',
  'refused',
  'not_found',
  'timed_out',
  'not_allowed_by_agent',
  'offline',
  'agent_lost',
  'tunnel_lost',
  'busy',
  'login_failed',
] as const;

/**
 * refused, not_found, timed_out: the agent could not reach the target · login_failed: the target did not let it in · not_allowed_by_agent: it would not · offline: no
 * tunnel of the agent stands · agent_lost, tunnel_lost: a link broke · busy: too many connections · closed: the other end
 * gave the connection up.
 */
export type DialReason = (typeof dialReasons)[number];

const codes: Readonly<Record<DialReason, keyof typeof tunnelErrors>> = {
  closed: 'CONNECTION_RESET',
  refused: 'TARGET_REFUSED',
  not_found: 'TARGET_NOT_FOUND',
  timed_out: 'TARGET_TIMED_OUT',
  not_allowed_by_agent: 'DIAL_NOT_ALLOWED',
  offline: 'AGENT_OFFLINE',
  agent_lost: 'AGENT_LOST',
  tunnel_lost: 'TUNNEL_LOST',
  busy: 'TUNNEL_BUSY',
  login_failed: 'TARGET_REFUSED_LOGIN',
};

/** The error of a reason; `message` is for the log, and for the person with `login_failed` alone. */
export function dialError(
  reason: DialReason,
  options: { readonly message?: string; readonly cause?: unknown } = {},
): GatehouseError {
  return tunnelError(codes[reason], { reason, ...options });
}

/** The reason a text names; `closed` for any other text. */
export function parseDialReason(text: string | undefined): DialReason {
  return dialReasons.find((reason) => reason === text) ?? 'closed';
}

const firstCode = 0x47480000;

/** The RST_STREAM code that carries a reason; beyond the codes of RFC 9113 §7. */
export function resetCodeOf(reason: DialReason): number {
  return firstCode + dialReasons.indexOf(reason);
}

/** The reason that an RST_STREAM code carries; undefined for a code that is not ours. */
export function reasonOfResetCode(code: number | undefined): DialReason | undefined {
  return code === undefined ? undefined : dialReasons[code - firstCode];
}
