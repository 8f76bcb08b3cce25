import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { BodyReader } from './body-reader.js';
import { WireError } from './wire-error.js';

describe('the body reader', () => {
  it('reads the data types', () => {
    const body = new BodyReader(Buffer.from('\xff\xfe\0\0\0\x07abc\0\0xyz\x05', 'latin1'));
    expect([body.int16(), body.int32(), body.text(), body.text()]).toEqual([-2, 7, 'abc', '']);
    expect(body.bytes(3).toString()).toBe('xyz');
    expect([body.byte(), body.remaining]).toEqual([5, 0]);
    expect(() => body.finish()).not.toThrow();
  });

  it('keeps every byte of a text apart from every other', () => {
    const body = new BodyReader(Buffer.from([0xff, 0xc3, 0xa4, 0]));
    expect(Buffer.from(body.text(), 'latin1')).toEqual(Buffer.from([0xff, 0xc3, 0xa4]));
  });

  it('reads over what is beyond the bound of a text', () => {
    const body = new BodyReader(Buffer.from('abcdef\0g\0'));
    expect([body.text(3), body.text(3)]).toEqual(['abc', 'g']);
  });

  it('does not see what comes after its end', () => {
    const source = Buffer.from('xxab\0\0\0\0\0');
    expect(() => new BodyReader(source, 2, 4).text()).toThrow(WireError);
    expect(() => new BodyReader(source, 2, 4).int32()).toThrow(WireError);
    expect(() => new BodyReader(source, 4, 4).text()).toThrow(WireError);
    expect(() => new BodyReader(source, 2, 4).bytes(-1)).toThrow(WireError);
    expect(() => new BodyReader(source, 2, 4).finish()).toThrow(WireError);
  });

  it('throws nothing but WireError', () => {
    const step = fc.constantFrom('byte', 'int16', 'int32', 'text', 'textBytes', 'bytes');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.array(step), (bytes, steps) => {
        const body = new BodyReader(Buffer.from(bytes));
        try {
          for (const one of steps) {
            if (one === 'bytes') body.bytes(body.int32());
            else body[one]();
          }
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(WireError);
        }
      }),
    );
  });
});
