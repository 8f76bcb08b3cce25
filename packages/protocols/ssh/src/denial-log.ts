/** Events of what was denied on one connection; floods of one kind are counted (AUD-10) and silence no other kind. */
import type { Clock } from '@gatehouse/kit/clock';
import { createFloodGate } from '@gatehouse/kit/event-log';
import type { SessionEvent } from '@gatehouse/protocol-api';

export interface DenialLog extends Disposable {
  /** True when the event was written; false when it was only counted. */
  write(event: SessionEvent): boolean;
}

const flushEveryMs = 10_000;
/** There is one connection to a gate: whoever it is of is in the events anyway. */
const actor = { kind: 'user', name: '' };

/** @param emit writes an event of the connection, with its actor */
export function createDenialLog(clock: Clock, emit: (event: SessionEvent) => void): DenialLog {
  const gate = createFloodGate(clock);
  const flush = (all: boolean) => {
    for (const { type, outcome, reason, data } of gate.collect(all)) {
      emit({ type, outcome, data, ...(reason !== undefined && { reason }) });
    }
  };
  const timer = setInterval(() => flush(false), flushEveryMs);
  timer.unref();
  return {
    write(event) {
      const isWritten = gate.admit({ ...event, actor });
      if (isWritten) emit(event);
      return isWritten;
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      flush(true);
    },
  };
}
