/**
 * What tunnel-service tells of tunnels that it refused: `connection.refused`, as the proxy does for people; floods of
 * them are counted (AUD-10). `agent.connected` and `agent.disconnected` are auth-service's, which alone sees an agent's
 * tunnels at all replicas; this service reports them there.
 */
import type { Clock } from '@gatehouse/kit/clock';
import { createFloodGate } from '@gatehouse/kit/event-log';
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
  readonly clock: Clock;
  readonly logger: Logger;
  readonly spool: Pick<Spool, 'emit'> | undefined;
}

export interface RefusalEvents extends Disposable {
  /** Tells of a refused tunnel: log and audit. Never throws. */
  write(refusal: Refusal): void;
}

const flushEveryMs = 10_000;

export function createRefusalEvents({ clock, logger, spool }: EventDeps): RefusalEvents {
  // However many strangers come, the table of agents has room.
  const gates = { agent: createFloodGate(clock), unknown: createFloodGate(clock) };
  const flush = (all: boolean) => {
    for (const gate of Object.values(gates))
      for (const { reason, ...counted } of gate.collect(all))
        spool?.emit(reason === undefined ? counted : { ...counted, reason });
  };
  const timer = setInterval(() => flush(false), flushEveryMs);
  timer.unref();
  return {
    write(refusal) {
      const { reason, why, agentId, address, viaProxy } = refusal;
      logger.warn({ reason, why, agentId, address, viaProxy }, 'tunnel refused');
      const kind = agentId === undefined ? 'unknown' : 'agent';
      const draft = {
        type: 'connection.refused',
        actor: { kind, name: agentId ?? '', address },
        outcome: 'denied' as const,
        reason,
        data: { message: why, transport: 'tunnel' },
      };
      if (gates[kind].admit(draft)) spool?.emit(draft);
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      flush(true);
    },
  };
}
