/** What the spool offers; the flow is told in spool.ts. */
import type { Clock } from '../clock/clock.js';
import type { AuditActor, AuditEvent, AuditTarget } from '../event-log/audit-event.js';
import type { RecordingChunk } from '../event-log/chunk-record.js';
import type { EventLog } from '../event-log/types.js';
import type { Logger } from '../log/log.js';

export interface SpoolLimits {
  /** Default 256 MiB. */
  readonly eventsBytes: number;
  /** Default 1 GiB. */
  readonly recordingsBytes: number;
  /** A segment file is closed at this size. Default 8 MiB (events), 32 MiB (recordings). */
  readonly eventSegmentBytes: number;
  readonly recordingSegmentBytes: number;
}

export interface SpoolOptions {
  /** The spool's own directory; made 0700 if missing. */
  readonly dir: string;
  readonly eventLog: EventLog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly cluster: string;
  /** `srv_…` of this start; part of events' source. */
  readonly replicaId: string;
  /** Kind of the service, default `proxy`. */
  readonly serviceKind?: string;
  readonly limits?: Partial<SpoolLimits>;
  /** How long a dispose tries to publish what is left, default 3 s; what remains is kept for the next start. */
  readonly flushMs?: number;
}

/** What every event of a session has in common. */
export interface SessionHeader {
  /** `ses_…` */
  readonly sessionId: string;
  readonly actor: AuditActor;
  readonly target?: AuditTarget;
  readonly protocol?: string;
  readonly traceId?: string | undefined;
  /** True: a full spool makes `append` throw instead of dropping and counting. */
  readonly strict?: boolean;
}

/** An event before the spool gives it id, time, cluster, session and sequence. */
export interface JournalEvent {
  readonly type: string;
  readonly outcome: AuditEvent['outcome'];
  readonly reason?: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** Instead of the session's, for example somebody who joins. */
  readonly actor?: AuditActor;
  readonly target?: AuditTarget;
  /**
   * This event is an intent (D23): until an event with the same word in `closes` follows, a recovery completes it with
   * reason `proxy_lost`. The word is unique among the session's open intents.
   */
  readonly opens?: string;
  /** Type of the result that a recovery writes; by default `x_started` → `x_ended` (db.statement_started → db.statement_executed, …_served for requests). */
  readonly resultType?: string;
  /** False: the intent is kept in the spool only and takes no number (best_effort, where only results are published). */
  readonly published?: boolean;
  /** The intent that this event is the result of. */
  readonly closes?: string;
}

/** An event outside a session. */
export interface LooseEvent extends Omit<
  JournalEvent,
  'opens' | 'closes' | 'resultType' | 'published'
> {
  readonly actor: AuditActor;
  readonly sessionId?: string;
}

export interface SessionJournal {
  /**
   * Writes an event; it survives the death of the process once this returns.
   * @throws SPOOL_FULL for a strict session, SPOOL_SESSION_ENDED after `end` or `close`
   */
  append(event: JournalEvent): void;
  /**
   * Writes an event and waits until the event log has it (strict).
   * @throws SPOOL_NOT_ACKNOWLEDGED after `ms`; the event will arrive all the same, and its intent is still open
   */
  appendAcknowledged(event: JournalEvent, ms: number): Promise<void>;
  /** Waits until the event log has all that was appended. @throws SPOOL_NOT_ACKNOWLEDGED after `ms` */
  acknowledged(ms: number): Promise<void>;
  /**
   * How long the session should wait before it causes more events, ms; 0: not at all. Only where the spool fills and the session's
   * person has written more than others may expect.
   */
  waitMs(): number;
  /** Events of this session that found no room. */
  readonly dropped: number;
  /** Writes a chunk of a recording; resolves when it is in the spool. @throws SPOOL_FULL */
  chunk(recordingId: string, chunk: RecordingChunk): Promise<void>;
  /** Writes `session.ended` and closes the journal. The second call does nothing. */
  end(reason: string, data?: Readonly<Record<string, unknown>>): void;
  /** Closes the journal without an event: for sessions that never started (denied, failed to connect). */
  close(): void;
}

export interface LaneState {
  /** Not yet acknowledged by the event log. */
  readonly bytes: number;
  readonly limitBytes: number;
  /** Age of the oldest of them, ms; 0 when there is none. */
  readonly oldestMs: number;
}

export interface SpoolState {
  readonly events: LaneState;
  readonly recordings: LaneState;
  /** A lane is full, or the disk refuses writes or syncs: not ready (D29). */
  readonly full: boolean;
  /** The event log did not take the last send: `degraded` in /readyz. */
  readonly degraded: boolean;
  /** Events dropped since the start. */
  readonly lost: number;
}

export interface Spool extends AsyncDisposable {
  /** Opens the journal of a session. @throws SPOOL_SESSION_OPEN when there is one, SPOOL_FULL for a strict session */
  session(header: SessionHeader): SessionJournal;
  /** Writes an event outside a session; never throws: what does not fit is counted as lost. */
  emit(event: LooseEvent): void;
  state(): SpoolState;
  /** Resolves when all that was appended before is acknowledged, or rejects when the signal aborts. */
  flushed(signal?: AbortSignal): Promise<void>;
}
