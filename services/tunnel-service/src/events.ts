/**
 * What tunnel-service tells of tunnels that it refused: `connection.refused`, as the proxy does for people. `agent.connected` and `agent.disconnected` are auth-service's, which alone sees an
 * agent's tunnels at all replicas; this service reports them there.
 */
import type { Logger } from '@gatehouse/kit/log';
import type { Spool } from '@gatehouse/kit/spool';

export interface Refusal {
  /** certificate, wrong_kind, locked, not_yours. */
  readonly reason: string;
  readonly why: string;
  readonly agentId?: string;
  /** `ip:port`. */
  readonly address: string;
  readonly viaProxy: string;
}

export interface EventDeps {
  readonly logger: Logger;
  readonly spool: Pick<Spool, 'emit'> | undefined;
}

/** Most refusals a minute that become events; the rest is only logged. */
const maxEventsPerMinute = 120;

/** Tells of refused tunnels: log and audit. Never throws. */
export function createRefusalEvents(deps: EventDeps): (refusal: Refusal) => void {
  let minute = 0;
  let count = 0;
  return (refusal) => {
    const { reason, why, agentId, address, viaProxy } = refusal;
    deps.logger.warn({ reason, why, agentId, address, viaProxy }, 'tunnel refused');
    const now = Math.floor(performance.now() / 60_000);
    if (now !== minute) [minute, count] = [now, 0];
    count += 1;
    if (count > maxEventsPerMinute) return;
    const kind = agentId === undefined ? 'unknown' : 'agent';
    deps.spool?.emit({
      type: 'connection.refused',
      actor: { kind, name: agentId ?? '', address },
      outcome: 'denied',
      reason,
      data: { message: why, transport: 'tunnel' },
    });
  };
}
