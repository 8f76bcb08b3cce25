/**
 * Frames: what a recording is made of. A chunk is gzip of frames, each `u32 ms | u8 kind | u32 length | bytes`,
 * big-endian; ms counts from the recording's beginning. The first frame of the first chunk is the header.
 */
import { z } from 'zod';

import { recordingError } from './errors.js';

/** The first frame of a recording. */
export interface RecordingHeader {
  readonly version: 1;
  readonly columns: number;
  readonly rows: number;
  readonly command?: string | undefined;
  /** ms since the epoch at which the recording began. */
  readonly startedAtMs: number;
}

/** One thing that happened, `ms` after the recording began. */
export type Frame =
  | { readonly kind: 'header'; readonly ms: number; readonly header: RecordingHeader }
  | { readonly kind: 'output' | 'input'; readonly ms: number; readonly bytes: Buffer }
  | {
      readonly kind: 'resize';
      readonly ms: number;
      readonly columns: number;
      readonly rows: number;
    }
  | { readonly kind: 'marker'; readonly ms: number; readonly label: string };

/** Bytes before a frame's own. */
export const frameHeadBytes = 9;
/** Largest size of a terminal; more is cut. */
const maxColumns = 1000;
const maxRows = 500;

export const frameKinds = { header: 0, output: 1, input: 2, resize: 3, marker: 4 } as const;

/** Writes a frame at `offset` and returns the offset behind it. */
export function writeFrame(
  target: Buffer,
  offset: number,
  frame: { ms: number; kind: number; bytes: Uint8Array },
): number {
  target.writeUInt32BE(Math.min(frame.ms, 0xffff_ffff), offset);
  target.writeUInt8(frame.kind, offset + 4);
  target.writeUInt32BE(frame.bytes.length, offset + 5);
  target.set(frame.bytes, offset + frameHeadBytes);
  return offset + frameHeadBytes + frame.bytes.length;
}

/** A size within bounds; where a client names none (0, RFC 4254 §6.2) or something odd, 80 by 24. */
export function boundSize(columns: number, rows: number): { columns: number; rows: number } {
  const bound = (value: number, fallback: number, most: number) =>
    value >= 1 ? Math.min(Math.trunc(value), most) : fallback;
  return { columns: bound(columns, 80, maxColumns), rows: bound(rows, 24, maxRows) };
}

export function encodeSize(columns: number, rows: number): Buffer {
  const size = boundSize(columns, rows);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16BE(size.columns, 0);
  bytes.writeUInt16BE(size.rows, 2);
  return bytes;
}

const headerSchema = z.object({
  version: z.literal(1),
  columns: z.int(),
  rows: z.int(),
  command: z.string().optional(),
  startedAtMs: z.number(),
});

/**
 * The frames of a chunk's inflated bytes. Frames of kinds that this version does not know are passed over.
 * @throws RECORDING_DAMAGED
 */
export function* parseFrames(bytes: Buffer): Generator<Frame> {
  let offset = 0;
  while (offset < bytes.length) {
    if (bytes.length - offset < frameHeadBytes) throw damaged('a frame is cut short');
    const length = bytes.readUInt32BE(offset + 5);
    const end = offset + frameHeadBytes + length;
    if (end > bytes.length) throw damaged('a frame is longer than its chunk');
    const body = bytes.subarray(offset + frameHeadBytes, end);
    const frame = parseFrame(bytes.readUInt8(offset + 4), bytes.readUInt32BE(offset), body);
    if (frame !== undefined) yield frame;
    offset = end;
  }
}

function parseFrame(kind: number, ms: number, body: Buffer): Frame | undefined {
  switch (kind) {
    case frameKinds.header:
      return { kind: 'header', ms, header: parseHeader(body) };
    case frameKinds.output:
      return { kind: 'output', ms, bytes: body };
    case frameKinds.input:
      return { kind: 'input', ms, bytes: body };
    case frameKinds.resize:
      if (body.length < 4) throw damaged('a size is cut short');
      return { kind: 'resize', ms, ...boundSize(body.readUInt16BE(0), body.readUInt16BE(2)) };
    case frameKinds.marker:
      return { kind: 'marker', ms, label: body.toString() };
  }
  return undefined;
}

function parseHeader(body: Buffer): RecordingHeader {
  try {
    const header = headerSchema.parse(JSON.parse(body.toString()));
    return { ...header, ...boundSize(header.columns, header.rows) };
  } catch (thrown) {
    throw damaged('its header is not understood', thrown);
  }
}

function damaged(why: string, cause?: unknown) {
  return recordingError('RECORDING_DAMAGED', { cause, details: { why } });
}
