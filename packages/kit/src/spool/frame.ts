/**
 * Frames of a segment file. A file begins with {@link fileHeader}; each frame is
 * `u32 length of body | u32 CRC-32 of all that follows | u8 kind | u48 time in ms | body`, big-endian.
 */
import { crc32 } from 'node:zlib';

export const fileHeader = Buffer.from('GHSPOOL1');

/** Largest body; an event has 128 KiB, a chunk 260 KiB, a snapshot grows with the sessions that are open. */
const maxBodyBytes = 64 * 1024 * 1024;
const headBytes = 15;

export const frameKinds = {
  /** All that is open, at the start of each segment: whatever lay before may be deleted. */
  snapshot: 1,
  sessionOpened: 2,
  event: 3,
  /** An event that is kept for recovery and not published. */
  privateEvent: 4,
  sessionClosed: 5,
  recordingOpened: 6,
  chunk: 7,
  /** Events are being dropped since the frame's time. */
  losing: 8,
} as const;

export interface Frame {
  readonly kind: number;
  readonly timeMs: number;
  /** Part of the buffer that was read. */
  readonly body: Buffer;
  /** Offset behind the frame, in the buffer that was read. */
  readonly end: number;
}

/** A frame whose body is a short head and the rest: `u32 length of head | head | rest`. */
export function encodeTwoPartFrame(
  kind: number,
  timeMs: number,
  parts: { head: string; rest: string | Buffer },
): Buffer {
  const headLength = parts.head === '' ? 0 : Buffer.byteLength(parts.head);
  const restLength =
    typeof parts.rest === 'string' ? Buffer.byteLength(parts.rest) : parts.rest.length;
  const frame = Buffer.allocUnsafe(headBytes + 4 + headLength + restLength);
  frame.writeUInt32BE(headLength, headBytes);
  if (headLength > 0) frame.write(parts.head, headBytes + 4, 'utf8');
  if (typeof parts.rest === 'string') frame.write(parts.rest, headBytes + 4 + headLength, 'utf8');
  else parts.rest.copy(frame, headBytes + 4 + headLength);
  return seal(frame, kind, timeMs);
}

/** The parts of such a body; undefined where it has another form. */
export function decodeTwoParts(body: Buffer): { head: Buffer; rest: Buffer } | undefined {
  if (body.length < 4) return undefined;
  const length = body.readUInt32BE(0);
  if (length > body.length - 4) return undefined;
  return { head: body.subarray(4, 4 + length), rest: body.subarray(4 + length) };
}

/** A frame whose body is JSON. */
export function encodeJsonFrame(kind: number, timeMs: number, value: unknown): Buffer {
  const json = JSON.stringify(value);
  const frame = Buffer.allocUnsafe(headBytes + Buffer.byteLength(json));
  frame.write(json, headBytes, 'utf8');
  return seal(frame, kind, timeMs);
}

function seal(frame: Buffer, kind: number, timeMs: number): Buffer {
  frame.writeUInt32BE(frame.length - headBytes, 0);
  frame.writeUInt8(kind, 8);
  frame.writeUIntBE(timeMs, 9, 6);
  frame.writeUInt32BE(crc32(frame.subarray(8)), 4);
  return frame;
}

/** `short`: more bytes may complete it; `damaged`: no frame begins here. */
export type FrameProblem = 'short' | 'damaged';

/** The frame at `offset`, or what is wrong there. Never reads past the buffer, never allocates. */
export function readFrame(buffer: Buffer, offset: number): Frame | FrameProblem {
  if (buffer.length - offset < headBytes) return 'short';
  const length = buffer.readUInt32BE(offset);
  if (length > maxBodyBytes) return 'damaged';
  const end = offset + headBytes + length;
  if (end > buffer.length) return 'short';
  if (crc32(buffer.subarray(offset + 8, end)) !== buffer.readUInt32BE(offset + 4)) return 'damaged';
  return {
    kind: buffer.readUInt8(offset + 8),
    timeMs: buffer.readUIntBE(offset + 9, 6),
    body: buffer.subarray(offset + headBytes, end),
    end,
  };
}

/** Offset of the first whole frame behind damage; undefined where none follows. */
export function findFrame(buffer: Buffer, from: number): number | undefined {
  for (let offset = from; buffer.length - offset >= headBytes; offset += 1) {
    const kind = buffer.readUInt8(offset + 8);
    if (kind < frameKinds.snapshot || kind > frameKinds.losing) continue;
    if (buffer.readUInt32BE(offset) > buffer.length - offset) continue;
    if (typeof readFrame(buffer, offset) !== 'string') return offset;
  }
  return undefined;
}

/** A whole segment: its frames, damage in the middle skipped, and where the last whole frame ends. */
export interface Segment {
  readonly frames: readonly Frame[];
  /** Behind this offset lies nothing usable. */
  readonly validBytes: number;
  /** Damaged regions that whole frames follow. */
  readonly damaged: number;
}

/** Reads a segment file's content; undefined where it is not one. */
export function readSegment(content: Buffer): Segment | undefined {
  if (!content.subarray(0, fileHeader.length).equals(fileHeader)) return undefined;
  const frames: Frame[] = [];
  let damaged = 0;
  let offset = fileHeader.length;
  for (;;) {
    const frame = readFrame(content, offset);
    if (typeof frame !== 'string') {
      frames.push(frame);
      offset = frame.end;
      continue;
    }
    const next = offset >= content.length ? undefined : findFrame(content, offset + 1);
    if (next === undefined) return { frames, validBytes: offset, damaged };
    damaged += 1;
    offset = next;
  }
}
