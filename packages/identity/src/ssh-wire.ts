/** SSH data types (RFC 4251 §5): a reader with bounds and a writer. */
import { isUtf8 } from 'node:buffer';

import type { GatehouseError } from '@gatehouse/kit/errors';

/** Makes the error for bytes that are not well formed; `why` completes "not understood: …". */
export type Failure = (why: string) => GatehouseError;

/** Reads from the front; every method throws the reader's failure instead of reading past the end. */
export interface SshReader {
  /** Bytes read so far. */
  offset(): number;
  isAtEnd(): boolean;
  byte(): number;
  uint32(): number;
  uint64(): bigint;
  /** A view, not a copy. @param maxBytes refuses longer ones */
  string(maxBytes: number): Buffer;
  /** A string that must be UTF-8 without NUL. */
  text(maxBytes: number): string;
  /** An unsigned mpint in its shortest form, without the sign byte. */
  mpint(maxBytes: number): Buffer;
  /** Throws when bytes are left. */
  end(): void;
}

export function createSshReader(bytes: Buffer, fail: Failure): SshReader {
  let position = 0;

  /** Moves over `count` bytes and says where they began. */
  function advance(count: number): number {
    if (count > bytes.length - position) throw fail('it is cut short');
    position += count;
    return position - count;
  }

  function readString(maxBytes: number): Buffer {
    const length = bytes.readUInt32BE(advance(4));
    if (length > maxBytes) throw fail('a field is too long');
    const start = advance(length);
    return bytes.subarray(start, start + length);
  }

  return {
    offset: () => position,
    isAtEnd: () => position === bytes.length,
    byte: () => bytes.readUInt8(advance(1)),
    uint32: () => bytes.readUInt32BE(advance(4)),
    uint64: () => bytes.readBigUInt64BE(advance(8)),
    string: readString,
    text: (maxBytes) => decodeText(readString(maxBytes), fail),
    mpint: (maxBytes) => readMpint(readString(maxBytes + 1), maxBytes, fail),
    end: () => {
      if (position !== bytes.length) throw fail('bytes are left over');
    },
  };
}

function decodeText(bytes: Buffer, fail: Failure): string {
  if (!isUtf8(bytes) || bytes.includes(0)) throw fail('a text is not UTF-8');
  return bytes.toString('utf8');
}

function readMpint(bytes: Buffer, maxBytes: number, fail: Failure): Buffer {
  const [first = 0, second = 0] = bytes;
  if (bytes.length === 0 || first >= 0x80) throw fail('a number is not positive');
  if (first === 0 && second < 0x80) throw fail('a number is not in its shortest form');
  const digits = first === 0 ? bytes.subarray(1) : bytes;
  if (digits.length > maxBytes) throw fail('a number is too large');
  return digits;
}

export function encodeSshString(value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  const result = Buffer.allocUnsafe(4 + bytes.length);
  result.writeUInt32BE(bytes.length, 0);
  result.set(bytes, 4);
  return result;
}

export function encodeUint32(value: number): Buffer {
  const result = Buffer.alloc(4);
  result.writeUInt32BE(value, 0);
  return result;
}

export function encodeUint64(value: bigint): Buffer {
  const result = Buffer.alloc(8);
  result.writeBigUInt64BE(value, 0);
  return result;
}

/** An unsigned big-endian number as an mpint. */
export function encodeMpint(value: Uint8Array): Buffer {
  let start = 0;
  while (start < value.length && value[start] === 0) start += 1;
  const digits = value.subarray(start);
  const needsSign = (digits[0] ?? 0) >= 0x80;
  return encodeSshString(needsSign ? Buffer.concat([Buffer.of(0), digits]) : digits);
}
