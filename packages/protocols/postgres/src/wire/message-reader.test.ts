import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { client, frame, server } from '../testing.js';
import { MessageReader, type Piece } from './message-reader.js';
import { backendLimits, createTypeTable, frontendLimits, frontendType } from './message-types.js';
import { WireError } from './wire-error.js';

const shown = createTypeTable([
  [frontendType.query, 200],
  [frontendType.bind, 40_000],
  [frontendType.sync, 5],
]);

function createReader(wholeBytes = shown, limits = frontendLimits): MessageReader {
  return new MessageReader({ limits, wholeBytes });
}

function read(reader: MessageReader, ...chunks: readonly Buffer[]): Piece[] {
  const pieces: Piece[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let piece = reader.next(); piece !== undefined; piece = reader.next()) pieces.push(piece);
  }
  return pieces;
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (let index = 0; at < bytes.length; index += 1) {
    const size = Math.max(1, sizes[index % sizes.length] ?? 1);
    chunks.push(Buffer.from(bytes.subarray(at, at + size)));
    at += size;
  }
  return chunks;
}

const kinds = (pieces: readonly Piece[]) => pieces.map((piece) => piece.kind);

/** Of the types that are shown; each as type and body, put together again. */
function shownMessages(pieces: readonly Piece[]): string[] {
  const messages: string[] = [];
  let open = '';
  for (const piece of pieces) {
    if (piece.kind === 'run') continue;
    open += piece.bytes.toString('latin1');
    if (!piece.isLast) continue;
    messages.push(open);
    open = '';
  }
  return messages;
}

const message = fc
  .tuple(fc.constantFrom('Q', 'B', 'd', 'd', 'D', 'P'), fc.nat(300))
  .map(([type, length]) => frame(type, Buffer.alloc(length, type.charCodeAt(0) + length)));
const sync = fc.constantFrom(client.sync, client.flush);
const messages = fc.array(fc.oneof(message, sync), { maxLength: 30 });
const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 900 })), {
  minLength: 1,
});

describe('the message reader', () => {
  it('loses, changes and reorders no byte, however they are split', () => {
    fc.assert(
      fc.property(messages, sizes, (list, chunkSizes) => {
        const bytes = Buffer.concat(list);
        const reader = createReader();
        const pieces = read(reader, ...cut(bytes, chunkSizes));
        expect(Buffer.concat(pieces.map((piece) => piece.bytes)).equals(bytes)).toBe(true);
        expect(shownMessages(pieces)).toEqual(
          list.filter((one) => shown[one[0] ?? 0] !== 0).map((one) => one.toString('latin1')),
        );
        expect(reader.isAtBoundary).toBe(true);
        let heads = 0;
        for (const piece of pieces) heads += piece.heads;
        expect(heads).toBe(list.length);
      }),
      { numRuns: 500 },
    );
  });

  it('reads the same from single bytes', () => {
    fc.assert(
      fc.property(messages, (list) => {
        const bytes = Buffer.concat(list);
        const pieces = read(createReader(), ...cut(bytes, [1]));
        expect(Buffer.concat(pieces.map((piece) => piece.bytes)).equals(bytes)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it('gives what nobody asked for as one run, and knows what it carries', () => {
    const rows = Buffer.concat([client.copyData('abc'), client.copyData('de'), client.flush]);
    const pieces = read(createReader(), Buffer.concat([rows, client.sync, rows]));
    expect(kinds(pieces)).toEqual(['run', 'message', 'run']);
    expect(pieces[0]?.bytes.equals(rows)).toBe(true);
    expect(pieces[0]?.heads).toBe(3);
    expect((pieces[0]?.length ?? 0) - 5 * 3).toBe(5);
  });

  it('gives views of the chunk where a message lies in it', () => {
    const chunk = Buffer.concat([client.query('select 1'), client.sync]);
    const pieces = read(createReader(), chunk);
    expect(pieces.map((piece) => piece.source === chunk)).toEqual([true, true]);
  });

  it('collects a message that was split, up to its limit, and holds nothing back of longer ones', () => {
    const short = client.query('x'.repeat(150));
    expect(kinds(read(createReader(), ...cut(short, [60])))).toEqual(['message']);
    const long = client.query('x'.repeat(500));
    const pieces = read(createReader(), ...cut(long, [100]));
    expect(kinds(pieces)).toEqual(['begin', 'more', 'more', 'more', 'more']);
    expect(pieces.map((piece) => piece.isLast)).toEqual([false, false, false, false, true]);
  });

  it('announces a long message with its first 16 KiB, so that names in it can be read', () => {
    const long = frame('B', Buffer.alloc(100_000));
    const pieces = read(createReader(), ...cut(long, [1000]));
    expect(pieces[0]?.kind).toBe('begin');
    expect(pieces[0]?.length).toBe(16_384);
    expect(pieces.at(-1)?.isLast).toBe(true);
  });

  it('says where a message may be put in', () => {
    const reader = createReader();
    read(reader, frame('d', Buffer.alloc(10)).subarray(0, 8));
    expect(reader.isAtBoundary).toBe(false);
    read(reader, Buffer.alloc(7));
    expect(reader.isAtBoundary).toBe(true);
    // Held back, so nothing of it has been given.
    read(reader, client.query('select 1').subarray(0, 9));
    expect(reader.isAtBoundary).toBe(true);
  });

  it.each([
    ['no such type', Buffer.from('p\0\0\0\x05x', 'latin1')],
    ['a length that does not count itself', Buffer.from('Q\0\0\0\x03', 'latin1')],
    ['a negative length', Buffer.from('Q\xff\xff\xff\xff', 'latin1')],
    ['one GiB', Buffer.from('Q\x3f\xff\xff\xff', 'latin1')],
    ['a Sync with a body', frame('S', Buffer.of(0))],
    ['a name of 10,000 bytes', frame('D', Buffer.alloc(10_000))],
  ])('refuses %s, in one chunk and in single bytes', (_what, bytes) => {
    expect(() => read(createReader(), bytes)).toThrow(WireError);
    expect(() => read(createReader(), ...cut(bytes, [1]))).toThrow(WireError);
  });

  it('takes what a server takes: messages just below 1 GiB', () => {
    const reader = createReader();
    const pieces = read(reader, Buffer.from('Q\x3f\xff\xff\xfeselect', 'latin1'));
    expect(kinds(pieces)).toEqual([]);
    expect(kinds(read(reader, Buffer.alloc(16_384)))).toEqual(['begin', 'more']);
  });

  it('refuses a server that authenticates again', () => {
    const reader = createReader(createTypeTable([]), backendLimits);
    expect(kinds(read(reader, server.ready()))).toEqual(['run']);
    expect(() => read(reader, frame('R', Buffer.alloc(4)))).toThrow(WireError);
  });

  it('claims no memory for bytes that have not come', () => {
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 200 }, () =>
      createReader(createTypeTable([[frontendType.query, 1024 * 1024]])),
    );
    for (const reader of readers) read(reader, Buffer.from('Q\0\x0f\xff\xffsel', 'latin1'));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
  });
});
