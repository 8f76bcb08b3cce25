/** The recordings of one session, and what becomes of the session where they fail. */
import type { Clock } from '@gatehouse/kit/clock';
import { toGatehouseError } from '@gatehouse/kit/errors';
import { createId } from '@gatehouse/kit/ids';
import type { Logger } from '@gatehouse/kit/log';
import type { SessionJournal } from '@gatehouse/kit/spool';
import type { Recorder, Session, SessionEnd, SessionEvent } from '@gatehouse/protocol-api';
import { createRecordingWriter } from '@gatehouse/recording';

import { strictAckMs } from './session-intents.js';

const lookAtLagEveryMs = 1_000;

export interface SessionRecordingsOptions {
  readonly clock: Clock;
  readonly journal: SessionJournal;
  readonly logger: Logger;
  readonly isStrict: () => boolean;
  readonly emit: (event: SessionEvent) => void;
  /** A strict session can not go on. */
  readonly onUnavailable: (end: SessionEnd) => void;
  /** Age of the oldest piece that the event log does not have, ms; 0 when it has all. */
  readonly lagMs: () => number;
}

export class SessionRecordings {
  readonly #options: SessionRecordingsOptions;
  readonly #recorders = new Set<Recorder>();
  #lagTimer: NodeJS.Timeout | undefined;

  constructor(options: SessionRecordingsOptions) {
    this.#options = options;
  }

  /** @see Session.record */
  open({ isTranscript = false, ...channel }: Parameters<Session['record']>[0]): Recorder {
    const { clock, journal, emit } = this.#options;
    const recordingId = createId('rec');
    const writer = createRecordingWriter({
      recordingId,
      clock,
      header: channel,
      sink: (chunk) => journal.chunk(recordingId, chunk),
      onFailure: (thrown) => this.#failed(recordingId, thrown),
    });
    const recorder: Recorder = {
      recordingId,
      output: (bytes) => writer.output(bytes),
      input: (bytes) => writer.input(bytes),
      resize: (columns, rows) => writer.resize(columns, rows),
      get overloaded() {
        return writer.overloaded;
      },
      drained: () => writer.drained(),
      end: async () => {
        if (!this.#recorders.delete(recorder)) return;
        await writer.end();
        const data = { ...writer.summary() };
        if (!writer.failed) emit({ type: 'recording.completed', outcome: 'success', data });
      },
    };
    this.#recorders.add(recorder);
    if (!isTranscript)
      this.#lagTimer ??= setInterval(() => this.#watchLag(), lookAtLagEveryMs).unref();
    return recorder;
  }

  /** Ends those that are open. */
  async close(): Promise<void> {
    clearInterval(this.#lagTimer);
    for (const recorder of this.#recorders) await recorder.end();
  }

  #failed(recordingId: string, thrown: unknown): void {
    const { emit, isStrict, logger, onUnavailable } = this.#options;
    logger.error({ err: thrown, recordingId }, 'recording.failed');
    emit({
      type: 'recording.failed',
      outcome: 'failure',
      data: { recordingId, message: toGatehouseError(thrown).publicMessage },
    });
    if (isStrict())
      onUnavailable({ reason: 'recorder_failed', message: 'recording is not available' });
  }

  /** Strict: nothing is shown for long of which the event log has no recording (D23). */
  #watchLag(): void {
    const { isStrict, lagMs, onUnavailable } = this.#options;
    if (isStrict() && this.#recorders.size > 0 && lagMs() >= strictAckMs)
      onUnavailable({ reason: 'audit_unavailable', message: 'audit is not available' });
  }
}
