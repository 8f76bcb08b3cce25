import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { encodeFields } from './codec.js';
import {
  encodeSftpStatus,
  parseSftpReply,
  parseSftpRequest,
  SftpSplitter,
  sftpType,
} from './sftp.js';

function packet(type: number, ...fields: (number | string | Buffer)[]): Buffer {
  const body = Buffer.concat([Buffer.of(type), encodeFields(...fields)]);
  return Buffer.concat([encodeFields(body.length), body]);
}

describe('the splitter', () => {
  it('finds the same packets however the stream is cut, and loses no byte', () => {
    const write = Buffer.concat([packet(6, 1, 'h'), Buffer.alloc(8)]);
    const stream = Buffer.concat([
      packet(1, 3),
      packet(3, 1, '/a', 1, 0),
      packet(4, 2, 'h'),
      packet(11, 3, 'x'.repeat(500)),
    ]);
    expect(write.length).toBeGreaterThan(0);
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 }),
        (cuts) => {
          const splitter = new SftpSplitter(() => 64);
          const bytes: Buffer[] = [];
          const types: number[] = [];
          let position = 0;
          for (let i = 0; position < stream.length; i += 1) {
            const next = Math.min(stream.length, position + (cuts[i % cuts.length] ?? 1));
            for (const piece of splitter.feed(stream.subarray(position, next))) {
              bytes.push(Buffer.from(piece.bytes));
              if (piece.kind === 'head') types.push(piece.type);
            }
            position = next;
          }
          expect(Buffer.concat(bytes).equals(stream)).toBe(true);
          expect(types).toEqual([1, 3, 4, 11]);
          expect(splitter.atBoundary).toBe(true);
        },
      ),
    );
  });

  it('holds back no more than the head of a packet', () => {
    const splitter = new SftpSplitter(() => 13);
    const data = packet(103, 7, Buffer.alloc(1000));
    const [head, body] = splitter.feed(data.subarray(0, 500));
    expect(head?.bytes.length).toBe(13);
    expect(body?.bytes.length).toBe(487);
    expect(splitter.isInBody).toBe(true);
  });

  it('refuses a packet of impossible length', () => {
    expect(() => new SftpSplitter(() => 64).feed(Buffer.from([0xff, 0, 0, 0, 1]))).toThrow(
      'impossible length',
    );
    expect(() => new SftpSplitter(() => 64).feed(Buffer.from([0, 0, 0, 0, 1]))).toThrow(
      'impossible length',
    );
  });
});

describe('requests and replies', () => {
  it('are read as far as an observer needs them', () => {
    expect(parseSftpRequest(packet(3, 5, '/a', 26, 0))).toMatchObject({
      type: 3,
      id: 5,
      flags: 26,
    });
    expect(parseSftpRequest(packet(18, 5, '/a', '/b')).otherPath?.toString()).toBe('/b');
    expect(parseSftpRequest(packet(200, 5, 'posix-rename@openssh.com', '/a', '/b'))).toMatchObject({
      extension: 'posix-rename@openssh.com',
    });
    const write = Buffer.concat([
      encodeFields(1 + 4 + 5 + 8 + 4 + 3),
      Buffer.of(6),
      encodeFields(9, 'h'),
      Buffer.alloc(8),
      encodeFields(3),
      Buffer.alloc(3),
    ]);
    expect(parseSftpRequest(write)).toMatchObject({ id: 9, handle: '68', dataBytes: 3 });
    expect(parseSftpReply(encodeSftpStatus(4, 3, 'no'))).toEqual({
      type: sftpType.status,
      id: 4,
      status: 3,
    });
    expect(parseSftpReply(packet(104, 4, 1, '/real', '/real', 0)).name?.toString()).toBe('/real');
  });
});
