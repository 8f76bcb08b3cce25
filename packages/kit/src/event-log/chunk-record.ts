/** A chunk of a recording as a record on the log (D26). */
import { createHash } from 'node:crypto';

import { z } from 'zod';

import { actorSchema, targetSchema, type AuditActor, type AuditTarget } from './audit-event.js';
import { eventLogError } from './errors.js';
import type { LogRecord } from './types.js';

/** Largest chunk, bytes of gzip: 256 KiB of records that do not compress, and what gzip adds. */
export const maxChunkBytes = 256 * 1024 + 4096;

/** A closed piece of a recording. */
export interface RecordingChunk {
  /** From 0 without gaps. */
  readonly index: number;
  /** Time of its first and last record, ms since the recording began. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Bytes that were recorded in it, before encoding and compression. */
  readonly recordedBytes: number;
  /** gzip of its records, at most {@link maxChunkBytes}. */
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

const header = 'gatehouse_chunk';
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const metadataSchema = z.looseObject({
  recordingId: z.string().regex(/^rec_[0-9a-f]{32}$/),
  sessionId: z.string().regex(/^ses_[0-9a-f]{32}$/),
  cluster: z.string().min(1).max(256),
  actor: actorSchema,
  target: targetSchema.optional(),
  protocol: z.string().max(64).optional(),
  index: z.int().min(0).max(0x7fff_ffff),
  fromMs: z.int().min(0),
  toMs: z.int().min(0),
  recordedBytes: z.int().min(0),
  sha256: hash,
  previousSha256: hash,
});

/** The record of a chunk: metadata as one JSON header, content as the value, key = session. */
export function encodeChunkRecord(chunk: ChunkRecord): LogRecord {
  return {
    key: chunk.sessionId,
    headers: chunkHeaders(encodeChunkMetadata(chunk)),
    value: chunk.content,
  };
}

/** Everything of a chunk but its content, as JSON. */
export function encodeChunkMetadata(chunk: ChunkRecord): string {
  return JSON.stringify({ ...chunk, content: undefined });
}

/** Headers of the record of a chunk whose metadata is encoded already. */
export function chunkHeaders(metadata: string): Record<string, string> {
  return { 'content-type': 'application/gzip', [header]: metadata };
}

/** @throws CHUNK_UNDECODABLE with the reason; also where the content is not what its hash says */
export function decodeChunkRecord(record: LogRecord): ChunkRecord {
  const fail = (why: string, cause?: unknown) =>
    eventLogError('CHUNK_UNDECODABLE', { cause, reason: 'shape', details: { why } });
  if (record.value.length > maxChunkBytes) throw fail('too large');
  let value: unknown;
  try {
    value = JSON.parse(record.headers[header] ?? '');
  } catch (thrown) {
    throw fail('no metadata', thrown);
  }
  const parsed = metadataSchema.safeParse(value);
  if (!parsed.success) throw fail(parsed.error.issues[0]?.message ?? 'metadata', parsed.error);
  if (createHash('sha256').update(record.value).digest('hex') !== parsed.data.sha256)
    throw fail('the content has another hash');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the schema has just checked it; they differ in `undefined` only
  return { ...parsed.data, content: record.value } as ChunkRecord;
}
