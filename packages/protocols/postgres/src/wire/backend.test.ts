import { describe, expect, it } from 'vitest';

import { frame, int32, server } from '../testing.js';
import {
  parseBackendKeyData,
  parseCommandComplete,
  parseErrorResponse,
  parseParameterStatus,
  parseReadyForQuery,
} from './backend.js';
import { Piece } from './message-reader.js';
import { WireError } from './wire-error.js';

function whole(bytes: Buffer): Piece {
  return new Piece('message', bytes[0] ?? 0, bytes, 0, bytes.length, 1, true);
}

describe('an answer of the server', () => {
  it.each([
    ['SELECT 12', 'SELECT', 12],
    ['INSERT 0 5', 'INSERT', 5],
    ['INSERT 16384 1', 'INSERT', 1],
    ['COPY 1000000', 'COPY', 1_000_000],
    ['CREATE TABLE', 'CREATE TABLE', undefined],
    ['BEGIN', 'BEGIN', undefined],
    ['X1', 'X1', undefined],
    ['7', '7', undefined],
    ['', '', undefined],
  ])('says what "%s" did', (tag, command, rows) => {
    expect(parseCommandComplete(whole(server.commandComplete(tag)))).toEqual({ command, rows });
  });

  it('says what went wrong, in the words that are never translated', () => {
    const bytes = frame('E', 'SFEHLER', 'VERROR', 'C57014', 'Mabbruch', 'Hx', Buffer.of(0));
    const error = { severity: 'ERROR', sqlstate: '57014', message: 'abbruch' };
    expect(parseErrorResponse(whole(bytes))).toEqual(error);
    const old = frame('E', 'SERROR', 'C42601', 'Mx', Buffer.of(0));
    expect(parseErrorResponse(whole(old)).severity).toBe('ERROR');
  });

  it('is told of a cut error as far as it goes', () => {
    const bytes = server.error('42601', 'abc');
    for (let end = 5; end <= bytes.length; end += 1) {
      const { sqlstate } = parseErrorResponse(new Piece('begin', 0x45, bytes, 0, end, 1, false));
      expect(sqlstate).toBe(end >= 26 ? '42601' : '');
    }
  });

  it.each([4, 32, 256])('gives a cancel key with a secret of %d bytes', (length) => {
    const secret = Buffer.alloc(length, 3);
    expect(parseBackendKeyData(whole(frame('K', int32(7), secret)))).toEqual({
      processId: 7,
      secret,
    });
  });

  it('is refused where it is malformed', () => {
    expect(() => parseBackendKeyData(whole(frame('K', int32(7))))).toThrow(WireError);
    expect(() => parseBackendKeyData(whole(frame('K', Buffer.alloc(261))))).toThrow(WireError);
    expect(() => parseCommandComplete(whole(frame('C', Buffer.from('x'))))).toThrow(WireError);
    expect(() => parseReadyForQuery(whole(frame('Z', Buffer.from('x'))))).toThrow(WireError);
    expect(() => parseParameterStatus(whole(frame('S', 'a')))).toThrow(WireError);
  });

  it('tells a setting', () => {
    const status = parseParameterStatus(whole(frame('S', 'TimeZone', 'UTC')));
    expect(status).toEqual({ name: 'TimeZone', value: 'UTC' });
  });
});
