/** A chunk of a recording as a record on the log (D26). */
import type { AuditActor, AuditTarget } from './audit-event.js';
import { eventLogError } from './errors.js';
import type { LogRecord } from './types.js';

/** A closed piece of a recording. */
export interface RecordingChunk {
  /** From 0 without gaps. */
  readonly index: number;
  /** Time of its first and last record, ms since the recording began. */
  readonly fromMs: number;
  readonly toMs: number;
  /** gzip of its records. At most 256 KiB. */
  readonly content: Buffer;
  /** SHA-256 of `content`, hex. */
  readonly sha256: string;
  /** That of the chunk before; for the first 64 zeros. */
  readonly previousSha256: string;
}

/** A chunk with what it belongs to. */
export interface ChunkRecord extends RecordingChunk {
  readonly recordingId: string;
  readonly sessionId: string;
  readonly cluster: string;
  readonly actor: AuditActor;
  readonly target?: AuditTarget;
  readonly protocol?: string;
}

/** The record of a chunk: metadata as one JSON header, content as the value, key = session. */
export function encodeChunkRecord(chunk: ChunkRecord): LogRecord {
  const { content, ...metadata } = chunk;
  return {
    key: chunk.sessionId,
    headers: { 'content-type': 'application/gzip', gatehouse_chunk: JSON.stringify(metadata) },
    value: content,
  };
}

/** @throws CHUNK_UNDECODABLE with the reason */
export function decodeChunkRecord(record: LogRecord): ChunkRecord {
  throw eventLogError('CHUNK_UNDECODABLE', { details: { why: record.key } });
}
