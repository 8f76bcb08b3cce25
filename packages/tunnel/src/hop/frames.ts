/**
 * Frames of the hop between proxy and tunnel-service: `DialRequest` and `DialResponse` of tunnel_service.proto, byte for
 * byte. Frames of data are written and read by hand with one copy and none; the generated codec costs several times as
 * much and everything else goes through it.
 */
import {
  DialRequest,
  DialResponse,
  type DialOpen,
  type DialOpened,
} from '@gatehouse/proto/tunnel/v1/tunnel_service';

import { decodeMessage } from '../control-channel.js';
import { tunnelError } from '../errors.js';

/** One frame of either direction: `open` only from the proxy, `opened` only to it. */
export type HopFrame =
  | { readonly kind: 'open'; readonly value: DialOpen }
  | { readonly kind: 'opened'; readonly value: DialOpened }
  | { readonly kind: 'data'; readonly parts: readonly Buffer[] }
  | { readonly kind: 'end' }
  | { readonly kind: 'reset'; readonly reason: string; readonly message: string };

/** Most bytes of data in one frame: best between 64 and 256 KiB. */
export const maxDataBytes = 256 << 10;

/** Field 2, length-delimited: `data` in both messages. */
const dataTag = 0x12;

/** @throws FRAME_INVALID for a frame of the other direction */
export function encodeRequest(frame: HopFrame): Buffer {
  if (frame.kind === 'data') return encodeData(frame.parts);
  return toBuffer(DialRequest.encode({ frame: requestOf(frame) }).finish());
}

/** @throws FRAME_INVALID for a frame of the other direction */
export function encodeResponse(frame: HopFrame): Buffer {
  if (frame.kind === 'data') return encodeData(frame.parts);
  return toBuffer(DialResponse.encode({ frame: responseOf(frame) }).finish());
}

/** @throws FRAME_INVALID */
export function decodeRequest(bytes: Buffer): HopFrame {
  const data = decodeData(bytes);
  if (data !== undefined) return { kind: 'data', parts: [data] };
  const { frame } = decodeMessage(DialRequest, bytes);
  if (frame?.$case === 'open') return { kind: 'open', value: frame.value };
  return decodeCommon(frame);
}

/** @throws FRAME_INVALID */
export function decodeResponse(bytes: Buffer): HopFrame {
  const data = decodeData(bytes);
  if (data !== undefined) return { kind: 'data', parts: [data] };
  const { frame } = decodeMessage(DialResponse, bytes);
  if (frame?.$case === 'opened') return { kind: 'opened', value: frame.value };
  return decodeCommon(frame);
}

type CommonFrame = Exclude<
  NonNullable<DialRequest['frame'] | DialResponse['frame']>,
  { $case: 'open' | 'opened' }
>;

function decodeCommon(frame: CommonFrame | undefined): HopFrame {
  switch (frame?.$case) {
    case 'data':
      return { kind: 'data', parts: [frame.value] };
    case 'end':
      return { kind: 'end' };
    case 'reset':
      return { kind: 'reset', reason: frame.value.reason, message: frame.value.message };
    case undefined:
      throw tunnelError('FRAME_INVALID', { details: { why: 'an empty frame' } });
  }
}

type ControlFrame = Exclude<HopFrame, { kind: 'data' }>;

function requestOf(frame: ControlFrame): DialRequest['frame'] {
  if (frame.kind === 'opened') throw wrongDirection();
  return frame.kind === 'open' ? { $case: 'open', value: frame.value } : encodeCommon(frame);
}

function responseOf(frame: ControlFrame): DialResponse['frame'] {
  if (frame.kind === 'open') throw wrongDirection();
  return frame.kind === 'opened' ? { $case: 'opened', value: frame.value } : encodeCommon(frame);
}

function encodeCommon(frame: Extract<HopFrame, { kind: 'end' | 'reset' }>): CommonFrame {
  if (frame.kind === 'end') return { $case: 'end', value: {} };
  return { $case: 'reset', value: { reason: frame.reason, message: frame.message } };
}

function wrongDirection(): Error {
  return tunnelError('FRAME_INVALID', { details: { why: 'it goes the other way' } });
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function encodeData(parts: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  let lengthBytes = 1;
  for (let rest = length; rest > 0x7f; rest >>>= 7) lengthBytes += 1;
  const frame = Buffer.allocUnsafe(1 + lengthBytes + length);
  frame[0] = dataTag;
  let at = 1;
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) frame[at++] = (rest & 0x7f) | 0x80;
  frame[at++] = rest;
  for (const part of parts) at += part.copy(frame, at);
  return frame;
}

/** The bytes of a frame that holds exactly one `data` field; undefined for any other, which goes to the general codec. */
function decodeData(frame: Buffer): Buffer | undefined {
  if (frame[0] !== dataTag) return undefined;
  let length = 0;
  for (let at = 1; at <= 4; at += 1) {
    const byte = frame[at];
    if (byte === undefined) return undefined;
    length |= (byte & 0x7f) << (7 * (at - 1));
    if (byte > 0x7f) continue;
    return at + 1 + length === frame.length ? frame.subarray(at + 1) : undefined;
  }
  return undefined;
}
