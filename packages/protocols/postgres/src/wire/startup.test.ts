import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { int32 } from '../testing.js';
import {
  encodeCancelRequest,
  encodeStartupMessage,
  parseStartupPacket,
  protocolExtensions,
  startupPacketLength,
} from './startup.js';
import { WireError } from './wire-error.js';

function packet(code: number, body: string | Buffer): Buffer {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body, 'latin1');
  return Buffer.concat([int32(8 + bytes.length), int32(code), bytes]);
}

const version3 = 3 * 0x1_0000;
const cancelCode = 80_877_102;

describe('the first packet', () => {
  it('has a length as soon as four bytes are there', () => {
    expect(startupPacketLength(Buffer.from([0, 0, 0]))).toBeUndefined();
    expect(startupPacketLength(Buffer.from([0, 0, 0, 8]))).toBe(8);
    expect(startupPacketLength(int32(10_000))).toBe(10_000);
  });

  it.each([0, 4, 7, 10_001, -1])('is refused with the length %d', (length) => {
    expect(() => startupPacketLength(int32(length))).toThrow(WireError);
  });

  it('asks for TLS or GSS encryption', () => {
    expect(parseStartupPacket(packet(80_877_103, ''))).toEqual({ kind: 'ssl' });
    expect(parseStartupPacket(packet(80_877_104, ''))).toEqual({ kind: 'gss' });
    expect(() => parseStartupPacket(packet(80_877_103, 'x'))).toThrow(WireError);
  });

  it.each([4, 32, 256])('cancels with a secret of %d bytes', (length) => {
    const key = { processId: -5, secret: Buffer.alloc(length, 7) };
    expect(parseStartupPacket(encodeCancelRequest(key))).toEqual({ kind: 'cancel', key });
  });

  it.each([0, 3, 257])('does not cancel with a secret of %d bytes', (length) => {
    const body = Buffer.concat([int32(1), Buffer.alloc(length)]);
    expect(() => parseStartupPacket(packet(cancelCode, body))).toThrow(WireError);
  });

  it('keeps parameters byte for byte, in order', () => {
    const body = 'user\0reader \0database\0\xff\xfe\0options\0\0\0';
    expect(parseStartupPacket(packet(version3 + 2, body))).toEqual({
      kind: 'startup',
      minor: 2,
      parameters: [
        { name: 'user', value: 'reader ' },
        { name: 'database', value: '\xff\xfe' },
        { name: 'options', value: '' },
      ],
    });
  });

  it.each([
    // Two readers of one packet might each take another one.
    ['a parameter that is there twice', 'user\0reader\0user\0postgres\0\0'],
    ['a user name with NUL in it', 'user\0reader\0x\0\0'],
    ['no terminator', 'user\0reader\0'],
    ['a name without value', 'user\0'],
    ['a name without end', 'user'],
    ['bytes after the terminator', 'user\0reader\0\0x'],
    ['nothing', ''],
  ])('is refused with %s', (_what, body) => {
    expect(() => parseStartupPacket(packet(version3, body))).toThrow(WireError);
  });

  it.each([2, 4])('is refused with protocol %d', (major) => {
    expect(() => parseStartupPacket(packet(major * 0x1_0000, '\0'))).toThrow(WireError);
  });

  it('is encoded to what is parsed again', () => {
    const text = fc
      .uint8Array({ maxLength: 20 })
      .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0)).toString('latin1'));
    const parameters = fc.uniqueArray(
      fc.record({ name: text.filter((name) => name !== ''), value: text }),
      { selector: ({ name }) => name, maxLength: 20 },
    );
    fc.assert(
      fc.property(parameters, fc.nat(0xffff), (list, minor) => {
        const bytes = encodeStartupMessage(minor, list);
        expect(startupPacketLength(bytes)).toBe(bytes.length);
        expect(parseStartupPacket(bytes)).toEqual({ kind: 'startup', minor, parameters: list });
      }),
    );
  });

  it('is not encoded where it would say something else', () => {
    expect(() => encodeStartupMessage(0, [{ name: 'user', value: 'a\0b' }])).toThrow(RangeError);
    expect(() => encodeStartupMessage(0, [{ name: '', value: 'a' }])).toThrow(RangeError);
    const long = { name: 'a', value: 'x'.repeat(10_000) };
    expect(() => encodeStartupMessage(0, [long])).toThrow(RangeError);
  });

  it('is answered with the extensions that we do not speak', () => {
    const names = ['user', '_pq_.x', '_pq_', '_PQ_.y'];
    expect(protocolExtensions(names.map((name) => ({ name, value: '' })))).toEqual(['_pq_.x']);
  });
});
