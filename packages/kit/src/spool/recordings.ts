/** Recordings that have not ended: what their end must say, known again after a sudden stop. */
import { z } from 'zod';

import { decodeTwoParts, frameKinds, type Frame } from './frame.js';
import { parseWith } from './sessions.js';

export interface RecordingState {
  readonly recordingId: string;
  readonly chunks: number;
  readonly bytes: number;
  readonly durationMs: number;
  /** SHA-256 of the last chunk. */
  readonly head: string;
  /** When the last chunk was written, ms since the epoch. */
  readonly lastMs: number;
}

interface ChunkNote {
  readonly recordingId: string;
  readonly index: number;
  readonly toMs: number;
  readonly recordedBytes: number;
  readonly sha256: string;
  readonly writtenMs: number;
}

export class OpenRecordings {
  readonly #recordings = new Map<string, RecordingState>();

  get(recordingId: string): RecordingState | undefined {
    return this.#recordings.get(recordingId);
  }

  noteChunk(chunk: ChunkNote): void {
    const before = this.#recordings.get(chunk.recordingId);
    this.#recordings.set(chunk.recordingId, {
      recordingId: chunk.recordingId,
      chunks: chunk.index + 1,
      bytes: (before?.bytes ?? 0) + chunk.recordedBytes,
      durationMs: chunk.toMs,
      head: chunk.sha256,
      lastMs: chunk.writtenMs,
    });
  }

  close(recordingId: string): void {
    this.#recordings.delete(recordingId);
  }

  /** Keeps only those that are still open. */
  keep(recordingIds: ReadonlySet<string>): void {
    for (const recordingId of this.#recordings.keys()) {
      if (!recordingIds.has(recordingId)) this.#recordings.delete(recordingId);
    }
  }

  snapshot(): unknown {
    return { recordings: [...this.#recordings.values()] };
  }

  replay(frame: Frame): void {
    if (frame.kind === frameKinds.snapshot) {
      this.#recordings.clear();
      for (const one of parseWith(snapshotSchema, frame.body)?.recordings ?? [])
        this.#recordings.set(one.recordingId, one);
    }
    if (frame.kind !== frameKinds.chunk) return;
    const head = decodeTwoParts(frame.body)?.head;
    const chunk = head === undefined ? undefined : parseWith(chunkSchema, head);
    if (chunk !== undefined) this.noteChunk({ ...chunk, writtenMs: frame.timeMs });
  }
}

const snapshotSchema = z.object({
  recordings: z.array(
    z.object({
      recordingId: z.string(),
      chunks: z.int(),
      bytes: z.int(),
      durationMs: z.int(),
      head: z.string(),
      lastMs: z.number(),
    }),
  ),
});

const chunkSchema = z.object({
  recordingId: z.string(),
  index: z.int().min(0),
  toMs: z.int().min(0),
  recordedBytes: z.int().min(0),
  sha256: z.string(),
});
