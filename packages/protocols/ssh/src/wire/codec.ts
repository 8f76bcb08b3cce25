/** The data types of SSH (RFC 4251 §5): a reader that checks every length, and an encoder. */
import { sshError } from '../errors.js';

/** Reads one message from its start. Every method throws SSH_PROTOCOL when the bytes are not there. */
export class WireReader {
  private position: number;

  constructor(
    private readonly bytes: Buffer,
    start = 0,
  ) {
    this.position = start;
  }

  get remaining(): number {
    return this.bytes.length - this.position;
  }

  /** Where the next field begins. */
  get offset(): number {
    return this.position;
  }

  u8(): number {
    return this.bytes.readUInt8(this.take(1));
  }

  /** Any value but 0 is true (RFC 4251 §5). */
  bool(): boolean {
    return this.u8() !== 0;
  }

  u32(): number {
    return this.bytes.readUInt32BE(this.take(4));
  }

  u64(): bigint {
    return this.bytes.readBigUInt64BE(this.take(8));
  }

  /** A `string` as a view of the message; valid as long as the message is. By default as long as a packet may be. */
  string(maxBytes = 262_144): Buffer {
    const length = this.u32();
    if (length > maxBytes) throw malformed('a field is too long');
    const start = this.take(length);
    return this.bytes.subarray(start, start + length);
  }

  /** A `string` that holds text; bytes that are no UTF-8 become U+FFFD. */
  text(maxBytes = 1024): string {
    return this.string(maxBytes).toString('utf8');
  }

  /** What is left, as a view. */
  rest(): Buffer {
    const start = this.position;
    this.position = this.bytes.length;
    return this.bytes.subarray(start);
  }

  private take(count: number): number {
    if (this.remaining < count) throw malformed('a message is cut short');
    const start = this.position;
    this.position += count;
    return start;
  }
}

function malformed(why: string): Error {
  return sshError('SSH_PROTOCOL', { details: { why }, reason: 'protocol' });
}

/** Fields of a message: a number is a `uint32`, a boolean a byte, text and bytes a `string`. */
export type WireField = number | boolean | string | Uint8Array;

/** A message: its number, then its fields. */
export function encodeMessage(type: number, ...fields: readonly WireField[]): Buffer {
  return Buffer.concat([Buffer.of(type), ...fields.map(encodeField)]);
}

/** Fields without a message number in front. */
export function encodeFields(...fields: readonly WireField[]): Buffer {
  return Buffer.concat(fields.map(encodeField));
}

function encodeField(field: WireField): Uint8Array {
  if (typeof field === 'boolean') return Buffer.of(field ? 1 : 0);
  const head = Buffer.alloc(4);
  if (typeof field === 'number') {
    head.writeUInt32BE(field >>> 0);
    return head;
  }
  const bytes = typeof field === 'string' ? Buffer.from(field) : field;
  head.writeUInt32BE(bytes.length);
  return Buffer.concat([head, bytes]);
}
