/** Makes events complete and within their bounds, and appends them to the lane. */
import type { Clock } from '../clock/clock.js';
import type { AuditEvent } from '../event-log/audit-event.js';
import { boundEvent, trimmedNote, type BoundedEvent } from '../event-log/bounds.js';
import { createId } from '../ids/ids.js';
import { encodeTwoPartFrame, frameKinds } from './frame.js';
import type { Lane } from './lane.js';
import { noteOf, shortened, type OpenSessions, type SessionState } from './sessions.js';
import type { JournalEvent, LooseEvent, SessionHeader } from './types.js';

/** Room beyond the limit for the ends of sessions and recordings and for notes of loss. */
export const reserveBytes = 8 * 1024 * 1024;

export interface WriteOptions {
  /** May go into the reserve. */
  readonly isVital: boolean;
  /** Default: a new one. */
  readonly id?: string;
}

export interface EventWriterOptions {
  readonly lane: Pick<Lane, 'append'>;
  readonly sessions: OpenSessions;
  readonly clock: Clock;
  readonly cluster: string;
}

/** What was written: the event as it is kept, and where the lane then ended. */
export interface WrittenEvent {
  readonly bounded: BoundedEvent;
  readonly position: number;
}

export class EventWriter {
  readonly #options: EventWriterOptions;

  constructor(options: EventWriterOptions) {
    this.#options = options;
  }

  /** Writes the next event of a session; undefined where it does not fit. */
  writeNumbered(
    state: SessionState,
    event: JournalEvent,
    options: WriteOptions,
  ): WrittenEvent | undefined {
    const note = noteOf(event);
    const full = this.#complete(event, {
      id: options.id,
      actor: event.actor ?? state.header.actor,
      target: event.target ?? state.header.target,
      sessionId: state.header.sessionId,
      traceId: state.header.traceId,
      sequence: state.sequence + 1,
    });
    const bounded = boundEvent(full);
    const head = note === undefined ? '' : JSON.stringify(note);
    const parts = { head, rest: bounded.json };
    const position = this.#append(frameKinds.event, parts, options.isVital);
    if (position === undefined) return undefined;
    this.#options.sessions.noteEvent(state, bounded.event, note ?? {});
    return { bounded, position };
  }

  /**
   * Writes what only a recovery reads, and no more of it than a recovery needs.
   * @returns the position behind it; undefined where it does not fit
   */
  writePrivate(state: SessionState, event: JournalEvent, isVital: boolean): number | undefined {
    const note = noteOf(event) ?? {};
    const kept = {
      type: event.type,
      time: new Date(this.#options.clock.now()).toISOString(),
      sessionId: state.header.sessionId,
      data: shortened(event.data),
    };
    const parts = { head: JSON.stringify(note), rest: JSON.stringify(kept) };
    const position = this.#append(frameKinds.privateEvent, parts, isVital);
    if (position !== undefined) this.#options.sessions.noteEvent(state, kept, note);
    return position;
  }

  /** Writes an event outside a session; undefined where it does not fit. */
  writeLoose(event: LooseEvent, isVital = false): WrittenEvent | undefined {
    const bounded = boundEvent(
      this.#complete(event, {
        actor: event.actor,
        target: event.target,
        sessionId: event.sessionId,
      }),
    );
    const position = this.#append(frameKinds.event, { head: '', rest: bounded.json }, isVital);
    return position === undefined ? undefined : { bounded, position };
  }

  /** A header whose names are within the bounds of events, so that no event has to be rewritten for them. */
  boundHeader(header: SessionHeader): SessionHeader {
    const sample = { type: 'session.opened', outcome: 'success', data: {} } as const;
    const { event } = boundEvent(
      this.#complete(sample, { actor: header.actor, target: header.target }),
    );
    return {
      ...header,
      actor: event.actor,
      ...(event.target === undefined ? {} : { target: event.target }),
    };
  }

  #append(
    kind: number,
    parts: { head: string; rest: string },
    isVital: boolean,
  ): number | undefined {
    const { lane, clock } = this.#options;
    return lane.append(encodeTwoPartFrame(kind, clock.now(), parts), isVital ? reserveBytes : 0);
  }

  #complete(
    event: Pick<JournalEvent, 'type' | 'outcome' | 'reason' | 'data'>,
    rest: Completion,
  ): AuditEvent {
    return {
      id: rest.id ?? createId('evt'),
      type: event.type,
      time: new Date(this.#options.clock.now()).toISOString(),
      cluster: this.#options.cluster,
      ...(rest.sessionId === undefined ? undefined : { sessionId: rest.sessionId }),
      ...(rest.sequence === undefined ? undefined : { sequence: rest.sequence }),
      actor: rest.actor,
      ...(rest.target === undefined ? undefined : { target: rest.target }),
      outcome: event.outcome,
      ...(event.reason === undefined ? undefined : { reason: event.reason }),
      ...(rest.traceId === undefined ? undefined : { traceId: rest.traceId }),
      data: event.data,
    };
  }
}

interface Completion {
  readonly id?: string | undefined;
  readonly actor: AuditEvent['actor'];
  readonly target?: AuditEvent['target'] | undefined;
  readonly sessionId?: string | undefined;
  readonly traceId?: string | undefined;
  readonly sequence?: number | undefined;
}

/** The event that follows a trimmed one; undefined where nothing was cut. */
export function trimmedEvent({ bounded }: WrittenEvent): JournalEvent | undefined {
  if (bounded.trimmed.length === 0 || bounded.event.type === 'audit.event_trimmed')
    return undefined;
  return { type: 'audit.event_trimmed', outcome: 'success', data: trimmedNote(bounded) };
}
