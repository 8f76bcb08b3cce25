/** Reaches a target through one of the agents that own its name: grant (D20), tunnel replica, agent. */
import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';

import { signGrant } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import { GatehouseError, toGatehouseError } from '@gatehouse/kit/errors';
import { currentTraceparent } from '@gatehouse/kit/telemetry';
import type { Membership, TargetRecord } from '@gatehouse/membership';
import { hostError } from '@gatehouse/protocol-api';
import type { AgentDirectory } from '@gatehouse/tunnel';

export interface DialRequest {
  readonly sessionId: string;
  readonly target: TargetRecord;
  readonly protocol: string;
  readonly principal: string;
  readonly user: string;
  readonly mode: 'inspected' | 'relayed';
  /** For the agent's facet. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

/** A connection to a target, and what it goes through. */
export type DialedStream = Duplex & {
  readonly tunnelReplica?: string;
  /** agt_… */
  readonly agentId?: string;
};

export interface Dialer {
  /** @throws TARGET_OFFLINE, TARGET_UNREACHABLE, TARGET_LOGIN_FAILED, DIAL_REFUSED_BY_AGENT */
  dial(request: DialRequest): Promise<DialedStream>;
}

const grantSeconds = 30;

export function createDialer(deps: {
  membership: Membership;
  directory: AgentDirectory;
  clock: Clock;
}): Dialer {
  const { membership, directory, clock } = deps;
  return {
    async dial(request) {
      const { target, sessionId, protocol, principal, user, mode, details, signal } = request;
      try {
        return await directory.dial({
          group: target.agent,
          sessionId,
          signal,
          traceparent: currentTraceparent(),
          grant: (agentId) =>
            signGrant(
              {
                v: 1,
                agent: agentId,
                session: sessionId,
                target: target.name,
                protocol,
                principal,
                user,
                mode,
                exp: Math.floor(clock.now() / 1000) + grantSeconds,
                jti: randomUUID(),
                ...(details === undefined ? {} : { options: details }),
              },
              membership.signer(),
            ),
        });
      } catch (thrown) {
        throw toDialError(toGatehouseError(thrown), target.name);
      }
    },
  };
}

const unreachable: Readonly<Record<string, string>> = {
  refused: 'connection refused',
  not_found: 'name not found',
  timed_out: 'timed out',
  busy: 'its agent is busy',
};

function toDialError(error: GatehouseError, target: string): GatehouseError {
  const reason = error.reason ?? 'internal';
  const options = { reason, cause: error };
  const why = unreachable[reason];
  if (why !== undefined)
    return hostError('TARGET_UNREACHABLE', { ...options, details: { target, why } });
  if (reason === 'login_failed')
    return hostError('TARGET_LOGIN_FAILED', {
      ...options,
      details: { target, why: error.message },
    });
  if (reason === 'not_allowed_by_agent') {
    return hostError('DIAL_REFUSED_BY_AGENT', {
      ...options,
      details: { target, why: 'it is not in its list' },
    });
  }
  if (reason === 'offline' || reason === 'agent_lost' || reason === 'tunnel_lost') {
    return hostError('TARGET_OFFLINE', { ...options, reason: 'offline', details: { target } });
  }
  return error;
}
