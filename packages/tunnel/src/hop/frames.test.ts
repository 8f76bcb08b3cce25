import { DialRequest, DialResponse } from '@gatehouse/proto/tunnel/v1/tunnel_service';
import fc from 'fast-check';
import { expect, it } from 'vitest';

import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from './frames.js';

it('writes the same bytes as the generated codec', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 4 }), (parts) => {
      const buffers = parts.map((part) => Buffer.from(part));
      const value = Buffer.concat(buffers);
      const frame = { kind: 'data', parts: buffers } as const;
      const expected = Buffer.from(
        DialRequest.encode({ frame: { $case: 'data', value } }).finish(),
      );
      expect(encodeRequest(frame).equals(expected)).toBe(true);
      expect(encodeResponse(frame).equals(expected)).toBe(true);
      const decoded = decodeRequest(expected);
      expect(decoded.kind === 'data' && Buffer.concat(decoded.parts).equals(value)).toBe(true);
    }),
  );
});

it('reads data of every length around the steps of a varint', () => {
  for (const length of [0, 1, 127, 128, 16_383, 16_384, 262_144]) {
    const frame = encodeResponse({ kind: 'data', parts: [Buffer.alloc(length, 7)] });
    const decoded = decodeResponse(frame);
    expect(decoded.kind === 'data' && decoded.parts[0]?.length).toBe(length);
    expect(DialResponse.decode(frame).frame?.$case).toBe('data');
  }
});

it('reads frames as other encoders write them: split fields, unknown fields, overlong lengths', () => {
  const twice = Buffer.concat([
    encodeRequest({ kind: 'data', parts: [Buffer.from('a')] }),
    encodeRequest({ kind: 'end' }),
  ]);
  expect(decodeRequest(twice)).toEqual({ kind: 'end' });
  const unknown = Buffer.concat([
    encodeRequest({ kind: 'data', parts: [Buffer.from('a')] }),
    Buffer.from([0x78, 0x01]),
  ]);
  expect(decodeRequest(unknown)).toMatchObject({ kind: 'data' });
  const overlong = Buffer.from([0x12, 0x81, 0x80, 0x00, 0x61]);
  expect(decodeRequest(overlong)).toMatchObject({ kind: 'data', parts: [Buffer.from('a')] });
});

it('refuses a frame of the other direction and an empty one', () => {
  expect(() => encodeRequest({ kind: 'opened', value: { replicaId: 'srv_1' } })).toThrow('frame');
  expect(() => decodeRequest(Buffer.alloc(0))).toThrow('empty');
});
