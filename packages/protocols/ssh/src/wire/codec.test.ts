import { describe, expect, it } from 'vitest';

import { encodeMessage, WireReader } from './codec.js';

describe('the reader', () => {
  it('reads what the encoder wrote', () => {
    const reader = new WireReader(encodeMessage(98, 7, 'exec', true, Buffer.of(1, 2)));
    expect([reader.u8(), reader.u32(), reader.text(), reader.bool()]).toEqual([
      98,
      7,
      'exec',
      true,
    ]);
    expect([...reader.string()]).toEqual([1, 2]);
    expect(reader.remaining).toBe(0);
  });

  it('refuses a length beyond the message, and one beyond the limit', () => {
    expect(() => new WireReader(Buffer.from([0xff, 0xff, 0xff, 0xff, 1])).string()).toThrow(
      'too long',
    );
    expect(() => new WireReader(Buffer.from([0, 0, 0, 9, 1])).string()).toThrow('cut short');
    expect(() => new WireReader(encodeMessage(1, 'x'.repeat(300)), 1).text(256)).toThrow(
      'too long',
    );
    expect(() => new WireReader(Buffer.of(1)).u32()).toThrow('cut short');
  });
});
