import { GatehouseError } from '@gatehouse/kit/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { refusal } from '../test/tools.js';
import { malformed } from './refusals.js';
import {
  createSshReader,
  encodeMpint,
  encodeSshString,
  encodeUint32,
  encodeUint64,
} from './ssh-wire.js';

const read = (bytes: Buffer) => createSshReader(bytes, malformed);

describe('SSH data types', () => {
  it('come back as they were written', () => {
    const reader = read(
      Buffer.concat([
        encodeUint32(7),
        encodeUint64(2n ** 63n),
        encodeSshString('é'),
        encodeMpint(Buffer.of(0, 0x80)),
      ]),
    );
    expect([reader.uint32(), reader.uint64(), reader.text(2), reader.mpint(1)]).toEqual([
      7,
      2n ** 63n,
      'é',
      Buffer.of(0x80),
    ]);
    expect(reader.isAtEnd()).toBe(true);
    reader.end();
  });

  it('writes mpints as RFC 4251 §5 shows them', () => {
    expect(encodeMpint(Buffer.of(0)).toString('hex')).toBe('00000000');
    expect(encodeMpint(Buffer.from('09a378f9b2e332a7', 'hex')).toString('hex')).toBe(
      '0000000809a378f9b2e332a7',
    );
    expect(encodeMpint(Buffer.of(0x80)).toString('hex')).toBe('000000020080');
  });

  it.each([
    ['a length past the end', (bytes: Buffer) => read(bytes).string(0xff_ff_ff_ff), 'ffffffff'],
    ['a string over its bound', (bytes: Buffer) => read(bytes).string(1), '000000026161'],
    ['a cut number', (bytes: Buffer) => read(bytes).uint64(), '00000000000000'],
    ['text that is not UTF-8', (bytes: Buffer) => read(bytes).text(9), '00000001ff'],
    ['text with NUL', (bytes: Buffer) => read(bytes).text(9), '00000003610062'],
    ['a negative number', (bytes: Buffer) => read(bytes).mpint(9), '0000000180'],
    ['an empty number', (bytes: Buffer) => read(bytes).mpint(9), '00000000'],
    ['a padded number', (bytes: Buffer) => read(bytes).mpint(9), '000000020001'],
    ['a number of one byte more', (bytes: Buffer) => read(bytes).mpint(1), '000000020101'],
    ['bytes at the end', (bytes: Buffer) => read(bytes).end(), '00'],
  ])('refuses %s', (_what, act, hex) => {
    expect(refusal(() => act(Buffer.from(hex, 'hex')))).toMatchObject({ reason: 'malformed' });
  });

  it('never reads past the end and throws only what it was given', () => {
    const steps = fc.array(fc.constantFrom('byte', 'uint32', 'uint64', 'string', 'text', 'mpint'), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), steps, (bytes, names) => {
        const reader = read(Buffer.from(bytes));
        try {
          for (const name of names) {
            if (name === 'string' || name === 'text' || name === 'mpint') reader[name](40);
            else reader[name]();
          }
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(GatehouseError);
        }
        expect(reader.offset()).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });
});
