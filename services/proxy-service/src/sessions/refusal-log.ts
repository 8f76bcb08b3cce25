/** Events of those who were turned away before a session; floods of them are counted (AUD-10). */
import type { Identity } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import type { GatehouseError } from '@gatehouse/kit/errors';
import { createFloodGate } from '@gatehouse/kit/event-log';
import type { Logger } from '@gatehouse/kit/log';
import type { Spool } from '@gatehouse/kit/spool';

export interface Refusal {
  readonly clientAddress: string;
  /** For the event. */
  readonly reason: string;
  readonly error?: GatehouseError;
  readonly identity?: Identity;
  readonly protocol?: string;
}

export interface RefusalLog extends Disposable {
  write(refusal: Refusal): void;
}

const flushEveryMs = 10_000;

export function createRefusalLog(deps: { clock: Clock; logger: Logger; spool: Spool }): RefusalLog {
  const { logger, spool } = deps;
  const gate = createFloodGate(deps.clock);
  const flush = (all: boolean) => {
    for (const { reason, ...counted } of gate.collect(all)) {
      spool.emit(reason === undefined ? counted : { ...counted, reason });
    }
  };
  const timer = setInterval(() => flush(false), flushEveryMs);
  timer.unref();
  return {
    write(refusal) {
      const draft = draftOf(refusal);
      if (!gate.admit(draft)) return;
      const { error, reason, clientAddress: address } = refusal;
      if (error !== undefined) logger.info({ err: error, reason, address }, 'connection refused');
      spool.emit(draft);
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      flush(true);
    },
  };
}

function draftOf({ clientAddress, reason, error, identity, protocol }: Refusal) {
  const who =
    identity === undefined
      ? { kind: 'unknown', name: '' }
      : { kind: 'user', name: identity.user, loginId: identity.loginId };
  return {
    type: 'connection.refused',
    outcome: 'denied' as const,
    reason,
    actor: { ...who, address: clientAddress },
    data: {
      ...(protocol === undefined ? {} : { protocol }),
      ...(error === undefined ? {} : { message: error.publicMessage, errorId: error.id }),
    },
  };
}
