import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { GatehouseError } from '@gatehouse/kit/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { refusal, run, temporaryFolder } from '../test/tools.js';
import {
  createDerReader,
  der,
  derInteger,
  derOid,
  derTime,
  readDerTime,
  tags,
  type DerReader,
} from './der.js';
import { malformed } from './refusals.js';

const read = (hex: string): DerReader =>
  createDerReader(Buffer.from(hex.replaceAll(' ', ''), 'hex'), malformed);

describe('DER', () => {
  it.each([
    ['2.25.25618090108025571557962437140490127285', '2.25.25618090108025571557962437140490127285'],
    ['1.3.101.112', 'ED25519'],
    ['2.5.29.17', 'X509v3 Subject Alternative Name'],
    ['2.999.1', '2.999.1'],
  ])('writes the object identifier %s as openssl reads it', (dotted, name) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'oid'), derOid(dotted));
    const text = run(folder, 'openssl', 'asn1parse', '-inform', 'DER', '-in', 'oid');
    expect(text).toContain(`OBJECT            :${name}\n`);
  });

  it('writes integers as positive and in their shortest form', () => {
    expect(derInteger(Buffer.of(0)).toString('hex')).toBe('020100');
    expect(derInteger(Buffer.of(0, 0, 0x7f)).toString('hex')).toBe('02017f');
    expect(derInteger(Buffer.of(0x80)).toString('hex')).toBe('02020080');
  });

  it('reads back any length that it writes', () => {
    for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 100_000]) {
      const element = der(tags.octetString, Buffer.alloc(length, 1));
      const reader = createDerReader(element, malformed);
      expect(reader.next(tags.octetString).content.length).toBe(length);
      reader.end();
    }
  });

  // What has two encodings can be signed in one and read in another.
  it.each([
    ['an indefinite length', '30 80 00 00'],
    ['a long length for a short one', '04 81 01 00'],
    ['a length with leading zeros', '04 82 00 80'.concat('00'.repeat(128))],
    ['a length of four bytes', '04 84 00 00 00 01 00'],
    ['a length past the end', '04 05 00'],
    ['a length that is cut', '04 82 01'],
    ['a tag of several bytes', '1f 81 01 00'],
    ['nothing', ''],
    ['a tag alone', '04'],
  ])('refuses %s', (_what, hex) => {
    expect(refusal(() => read(hex).next())).toMatchObject({ reason: 'malformed' });
  });

  it('refuses another tag, and bytes at the end', () => {
    expect(refusal(() => read('040100').next(tags.sequence))).toMatchObject({
      reason: 'malformed',
    });
    expect(read('040100').optional(tags.sequence)).toBeUndefined();
    const reader = read('0500 00');
    reader.next();
    expect(refusal(() => reader.end())).toMatchObject({ reason: 'malformed' });
  });

  it('throws nothing else for any bytes, and ends', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const reader = createDerReader(Buffer.from(bytes), malformed);
        try {
          while (!reader.isAtEnd()) reader.next();
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(GatehouseError);
        }
      }),
    );
  });
});

describe('times', () => {
  const time = (tag: number, text: string) => () =>
    readDerTime({ tag, content: Buffer.from(text), raw: Buffer.alloc(0) }, malformed);

  it('come back to the second, on both sides of 2050', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: Date.UTC(2200, 0, 1) / 1000 }), (seconds) => {
        const reader = createDerReader(derTime(seconds * 1000 + 999), malformed);
        expect(readDerTime(reader.next(), malformed)).toBe(seconds * 1000);
      }),
    );
    expect(derTime(Date.UTC(2049, 11, 31))[0]).toBe(tags.utcTime);
    expect(derTime(Date.UTC(2050, 0, 1))[0]).toBe(tags.generalizedTime);
    expect(time(tags.utcTime, '500101000000Z')()).toBe(Date.UTC(1950, 0, 1));
  });

  it.each([
    [tags.utcTime, '260101000000'],
    [tags.utcTime, '2601010000Z'],
    [tags.utcTime, '260101000000+0100'],
    [tags.utcTime, '260231000000Z'],
    [tags.utcTime, '260101240000Z'],
    [tags.utcTime, '260101000060Z'],
    [tags.utcTime, 'x60101000000Z'],
    [tags.utcTime, '-10101000000Z'],
    [tags.generalizedTime, '20260101000000.5Z'],
    [tags.generalizedTime, '2026-01-01T00:00:00.000Z'],
    [tags.generalizedTime, ''],
    [tags.ia5String, '20260101000000Z'],
  ])('with tag %i refuse %s', (tag, text) => {
    expect(refusal(time(tag, text))).toMatchObject({ reason: 'malformed' });
  });
});
