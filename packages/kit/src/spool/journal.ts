import type { RecordingChunk } from '../event-log/chunk-record.js';
/** The journal of one session: gives events their number and writes them down. */
import { withDeadline } from '../lifecycle/lifecycle.js';
import { spoolError } from './errors.js';
import type { SessionState } from './sessions.js';
import type { JournalEvent, SessionJournal } from './types.js';

/** What a journal needs of its spool. */
export interface JournalWriter {
  /** Writes an event of a session; the position behind it, or undefined where it was dropped. @throws SPOOL_FULL if strict */
  writeEvent(
    state: SessionState,
    event: JournalEvent,
    options: { isStrict: boolean; isVital: boolean },
  ): number | undefined;
  /** @throws SPOOL_FULL */
  writeChunk(state: SessionState, recordingId: string, chunk: RecordingChunk): void;
  closeSession(state: SessionState): void;
  /** @see SessionJournal.waitMs */
  waitMs(state: SessionState): number;
  /** Resolves when the event log has everything before `position`. */
  acknowledged(position: number, signal: AbortSignal): Promise<void>;
}

/** Events that are written even where the spool is full, into its reserve. */
const vitalTypes: ReadonlySet<string> = new Set([
  'session.ended',
  'recording.completed',
  'recording.failed',
]);

export class Journal implements SessionJournal {
  readonly #writer: JournalWriter;
  readonly #state: SessionState;
  /** Behind what was written last. */
  #written = 0;
  #ended = false;
  #dropped = 0;

  constructor(writer: JournalWriter, state: SessionState) {
    this.#writer = writer;
    this.#state = state;
  }

  append(event: JournalEvent): void {
    this.#write(event, this.#state.header.strict ?? false);
  }

  async appendAcknowledged(event: JournalEvent, ms: number): Promise<void> {
    this.#write(event, true);
    await this.acknowledged(ms);
  }

  async acknowledged(ms: number): Promise<void> {
    const waiting = new AbortController();
    try {
      await withDeadline(this.#writer.acknowledged(this.#written, waiting.signal), ms, () =>
        spoolError('SPOOL_NOT_ACKNOWLEDGED'),
      );
    } finally {
      waiting.abort();
    }
  }

  get dropped(): number {
    return this.#dropped;
  }

  waitMs(): number {
    return this.#ended ? 0 : this.#writer.waitMs(this.#state);
  }

  async chunk(recordingId: string, chunk: RecordingChunk): Promise<void> {
    await Promise.resolve();
    if (this.#ended) throw spoolError('SPOOL_SESSION_ENDED');
    this.#writer.writeChunk(this.#state, recordingId, chunk);
  }

  end(reason: string, data: Readonly<Record<string, unknown>> = {}): void {
    if (this.#ended) return;
    this.#write({ type: 'session.ended', outcome: 'success', reason, data }, false);
    this.#ended = true;
    this.#writer.closeSession(this.#state);
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#writer.closeSession(this.#state);
  }

  #write(event: JournalEvent, isStrict: boolean): void {
    if (this.#ended) throw spoolError('SPOOL_SESSION_ENDED');
    const isVital = vitalTypes.has(event.type);
    const position = this.#writer.writeEvent(this.#state, event, { isStrict, isVital });
    // Nobody misses what is not published.
    if (position === undefined && event.published !== false) this.#dropped += 1;
    this.#written = position ?? this.#written;
  }
}
