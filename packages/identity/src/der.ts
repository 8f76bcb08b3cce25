/** DER (ITU-T X.690): a strict reader with bounds and a writer, as much as X.509 needs. */
import type { Failure } from './ssh-wire.js';

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  /** With tag and length. */
  readonly raw: Buffer;
}

/** Walks the elements of one level. Every method throws the reader's failure instead of reading past the end. */
export interface DerReader {
  isAtEnd(): boolean;
  /** The next element, which must have this tag where one is given. */
  next(tag?: number): DerElement;
  /** The next element where it has this tag. */
  optional(tag: number): DerElement | undefined;
  /** Throws when bytes are left. */
  end(): void;
}

/** Definite lengths in their shortest form and one-byte tags only. Views, not copies. */
export function createDerReader(bytes: Buffer, fail: Failure): DerReader {
  let position = 0;

  function next(tag?: number): DerElement {
    const start = position;
    const found = bytes[start];
    if (found === undefined || (found & 0x1f) === 0x1f) throw fail('it is cut short');
    if (tag !== undefined && found !== tag) throw fail('a field is missing');
    const { length, header } = readLength(bytes, start + 1, fail);
    const from = start + 1 + header;
    if (length > bytes.length - from) throw fail('it is cut short');
    position = from + length;
    return {
      tag: found,
      content: bytes.subarray(from, position),
      raw: bytes.subarray(start, position),
    };
  }

  return {
    isAtEnd: () => position === bytes.length,
    next,
    optional: (tag) => (bytes[position] === tag ? next(tag) : undefined),
    end: () => {
      if (position !== bytes.length) throw fail('bytes are left over');
    },
  };
}

function readLength(bytes: Buffer, at: number, fail: Failure): { length: number; header: number } {
  const first = bytes[at];
  if (first === undefined) throw fail('it is cut short');
  if (first < 0x80) return { length: first, header: 1 };
  const count = first & 0x7f;
  if (count === 0 || count > 3 || at + 1 + count > bytes.length)
    throw fail('a length is not acceptable');
  const length = bytes.readUIntBE(at + 1, count);
  const isShortest = length >= (count === 1 ? 0x80 : 2 ** (8 * (count - 1)));
  if (!isShortest) throw fail('a length is not in its shortest form');
  return { length, header: 1 + count };
}

/** One element. Contents are joined. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.of(tag), encodeLength(content.length), content]);
}

function encodeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return Buffer.of(0x80 | digits.length, ...digits);
}

/** A positive INTEGER from big-endian bytes. */
export function derInteger(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const digits = bytes.subarray(start);
  return (digits[0] ?? 0) >= 0x80
    ? der(tags.integer, Buffer.of(0), digits)
    : der(tags.integer, digits);
}

/** An OBJECT IDENTIFIER from its dotted form; arcs of any size (2.25 has 128 bits). */
export function derOid(dotted: string): Buffer {
  const [first = 0n, second = 0n, ...rest] = dotted.split('.').map(BigInt);
  return der(tags.oid, Buffer.from([first * 40n + second, ...rest].flatMap(encodeArc)));
}

function encodeArc(arc: bigint): number[] {
  const digits = [Number(arc & 0x7fn)];
  for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) digits.unshift(Number(rest & 0x7fn) | 0x80);
  return digits;
}

export function derText(text: string): Buffer {
  return der(tags.utf8String, Buffer.from(text, 'utf8'));
}

/** A BIT STRING of whole bytes. */
export function derBits(bytes: Uint8Array): Buffer {
  return der(tags.bitString, Buffer.of(0), bytes);
}

/** A Time (RFC 5280 §4.1.2.5): UTCTime until 2049, GeneralizedTime from 2050. Rounded down to the second. */
export function derTime(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  const isShort = digits >= '1950' && digits < '2050';
  return isShort
    ? der(tags.utcTime, Buffer.from(digits.slice(2), 'latin1'))
    : der(tags.generalizedTime, Buffer.from(digits, 'latin1'));
}

const timeForm = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

/** ms since the epoch of a Time to the second in UTC; other forms throw. */
export function readDerTime(element: DerElement, fail: Failure): number {
  const text = element.content.toString('latin1');
  if (element.tag === tags.utcTime)
    return parseTime(`${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}`, fail);
  if (element.tag === tags.generalizedTime) return parseTime(text, fail);
  throw fail('a time is not one');
}

function parseTime(digits: string, fail: Failure): number {
  if (!timeForm.test(digits)) throw fail('a time is not one');
  const iso = digits.replace(timeForm, '$1-$2-$3T$4:$5:$6.000Z');
  const date = new Date(iso);
  // The way back catches dates like 31 February.
  if (Number.isNaN(date.getTime()) || date.toISOString() !== iso) throw fail('a time is not one');
  return date.getTime();
}
