/** Frames of the control stream: a length (u32, big-endian), then that many bytes of protobuf. */
import { tunnelError } from './errors.js';

/** Longest message. */
export const maxControlFrameBytes = 1 << 20;

/** @throws FRAME_INVALID where the message is too long */
export function encodeControlFrame(message: Uint8Array): Buffer {
  if (message.length > maxControlFrameBytes)
    throw tunnelError('FRAME_INVALID', { details: { why: `${message.length} bytes of control` } });
  const frame = Buffer.allocUnsafe(4 + message.length);
  frame.writeUInt32BE(message.length, 0);
  frame.set(message, 4);
  return frame;
}

/** Cuts a byte stream into messages. Holds at most one incomplete message. */
export class ControlFrameDecoder {
  #chunks: Buffer[] = [];
  #held = 0;

  /** Takes bytes and gives the messages that are complete. @throws FRAME_INVALID for a length out of bounds */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    const messages: Buffer[] = [];
    for (let message = this.#next(); message !== undefined; message = this.#next())
      messages.push(message);
    return messages;
  }

  #next(): Buffer | undefined {
    if (this.#held < 4) return undefined;
    const length = this.#peek(4).readUInt32BE(0);
    if (length > maxControlFrameBytes)
      throw tunnelError('FRAME_INVALID', { details: { why: `${length} bytes of control` } });
    if (this.#held < 4 + length) return undefined;
    const whole = this.#peek(4 + length);
    const rest = whole.subarray(4 + length);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#held = rest.length;
    return whole.subarray(4, 4 + length);
  }

  /** The held bytes with at least `count` of them in one piece. */
  #peek(count: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= count && this.#chunks.length === 1) return first;
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = [whole];
    return whole;
  }
}
