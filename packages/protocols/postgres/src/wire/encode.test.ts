import { describe, expect, it } from 'vitest';

import { client, frame, int32 } from '../testing.js';
import {
  encodeAuthenticationOk,
  encodeBackendKeyData,
  encodeErrorResponse,
  encodeNegotiateProtocolVersion,
  encodeFlush,
  encodeParse,
  encodeQuery,
} from './encode.js';

const hex = (bytes: Buffer) => bytes.toString('hex');

describe('messages of our own', () => {
  it('are written as the protocol has them', () => {
    const secret = Buffer.alloc(32, 1);
    expect(
      [
        encodeAuthenticationOk(),
        encodeBackendKeyData({ processId: -2, secret }),
        encodeQuery('select 1'),
        encodeParse('a\xff', 'select 1'),
        encodeFlush(),
      ].map(hex),
    ).toEqual(
      [
        frame('R', int32(0)),
        frame('K', int32(-2), secret),
        client.query('select 1'),
        client.parse('a\xff', 'select 1'),
        client.flush,
      ].map(hex),
    );
  });

  it('say which version is spoken as servers do', () => {
    // What PostgreSQL 15 answers to 3.9 with the parameter _pq_.foo.
    expect(hex(encodeNegotiateProtocolVersion(0, ['_pq_.foo']))).toBe(
      '760000001500030000000000015f70715f2e666f6f00',
    );
  });

  it('hold an error in its fields', () => {
    const report = { severity: 'FATAL', sqlstate: '28000', message: 'no' } as const;
    const end = Buffer.of(0);
    expect(encodeErrorResponse({ ...report, detail: 'd', hint: 'h' })).toEqual(
      frame('E', 'SFATAL', 'VFATAL', 'C28000', 'Mno', 'Dd', 'Hh', end),
    );
    expect(encodeErrorResponse(report)).toEqual(
      frame('E', 'SFATAL', 'VFATAL', 'C28000', 'Mno', end),
    );
  });

  it('end where their text ends, not at a NUL in it', () => {
    const bytes = encodeErrorResponse({ severity: 'ERROR', sqlstate: '42501', message: 'a\0Cb' });
    expect(bytes.toString()).toContain('Ma\u{fffd}Cb\0');
    expect(encodeQuery('a\0b').toString()).toContain('a\u{fffd}b\0');
  });
});
