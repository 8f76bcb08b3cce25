/** The data types of message bodies (PostgreSQL §55.6): a reader that checks every length. */
import { WireError } from './wire-error.js';

/** Reads bytes `start` to `end` of `source`. Every method throws WireError when the bytes are not there. */
export class BodyReader {
  private position: number;

  constructor(
    private readonly source: Buffer,
    start = 0,
    private readonly end = source.length,
  ) {
    this.position = start;
  }

  get remaining(): number {
    return this.end - this.position;
  }

  byte(): number {
    return this.source.readUInt8(this.take(1));
  }

  int16(): number {
    return this.source.readInt16BE(this.take(2));
  }

  int32(): number {
    return this.source.readInt32BE(this.take(4));
  }

  /** A view, valid as long as the message is. */
  bytes(count: number): Buffer {
    const start = this.take(count);
    return this.source.subarray(start, start + count);
  }

  skip(count: number): void {
    this.take(count);
  }

  /** A `String` without its NUL, as a view. */
  textBytes(): Buffer {
    const start = this.position;
    const length = this.lengthOfText();
    this.position += length + 1;
    return this.source.subarray(start, start + length);
  }

  /** A `String`, one character for each byte (latin1), so that no two differing ones become the same. */
  text(maxBytes = Number.POSITIVE_INFINITY): string {
    if (this.source[this.position] === 0 && this.remaining > 0) {
      this.position += 1;
      return '';
    }
    const start = this.position;
    const length = this.lengthOfText();
    this.position += length + 1;
    return this.source.toString('latin1', start, start + Math.min(length, maxBytes));
  }

  /** @throws WireError unless everything has been read, as a server does */
  finish(): void {
    if (this.remaining !== 0) throw new WireError('a message is longer than its content');
  }

  private lengthOfText(): number {
    const found = this.source.indexOf(0, this.position);
    if (found < 0 || found >= this.end) throw new WireError('a text in a message has no end');
    return found - this.position;
  }

  private take(count: number): number {
    if (count < 0 || this.remaining < count) throw new WireError('a message is cut short');
    const start = this.position;
    this.position += count;
    return start;
  }
}
