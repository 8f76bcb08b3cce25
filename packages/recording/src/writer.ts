/** Writes a recording as a chain of chunks. */
import type { Clock } from '@gatehouse/kit/clock';
import type { RecordingChunk } from '@gatehouse/kit/event-log';

/** What `recording.completed` says. */
export interface RecordingSummary {
  readonly recordingId: string;
  readonly chunks: number;
  /** Bytes recorded, before compression. */
  readonly bytes: number;
  readonly durationMs: number;
  /** SHA-256 of the last chunk, which through the chain stands for all. */
  readonly head: string;
}

export interface RecordingWriterOptions<RecordingId extends string> {
  readonly recordingId: RecordingId;
  readonly clock: Clock;
  readonly header: { readonly columns: number; readonly rows: number; readonly command?: string };
  /** Takes each chunk in order and resolves when it is spooled. When it rejects, the recording has failed. */
  sink(chunk: RecordingChunk): Promise<void>;
  /** Called once, when the sink failed; later records are dropped. */
  onFailure?(thrown: unknown): void;
}

/** The `Recorder` of packages/protocols/api, with what the host needs besides. */
export interface RecordingRecorder<RecordingId extends string = string> {
  readonly recordingId: RecordingId;
  output(bytes: Uint8Array): void;
  input(bytes: Uint8Array): void;
  resize(columns: number, rows: number): void;
  marker(label: string): void;
  readonly overloaded: boolean;
  drained(): Promise<void>;
  end(): Promise<void>;
  /** What was recorded; final once `end()` has resolved. */
  summary(): RecordingSummary;
  readonly failed: boolean;
}

/** Starts a recording. No call of the recorder throws. */
export function createRecordingWriter<RecordingId extends string>(
  options: RecordingWriterOptions<RecordingId>,
): RecordingRecorder<RecordingId> {
  throw new Error(`not yet: ${options.recordingId}`);
}
