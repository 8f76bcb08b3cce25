import { createHash } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { client, frame, int16, int32 } from '../testing.js';
import {
  parseBind,
  parseBoundValues,
  parseClose,
  parseExecute,
  parseParse,
  parseQuery,
} from './frontend.js';
import { Piece } from './message-reader.js';
import { StatementCollector } from './statement.js';
import { WireError } from './wire-error.js';

function whole(bytes: Buffer): Piece {
  return new Piece('message', bytes[0] ?? 0, bytes, 0, bytes.length, 1, true);
}

const sha256 = (text: Buffer) => createHash('sha256').update(text).digest('hex');

describe('a message of the client', () => {
  it('holds a statement', () => {
    const statement = parseQuery(whole(client.query('select \xff')));
    expect(statement.text).toEqual(Buffer.from('select \xff', 'latin1'));
    expect(statement).toMatchObject({ statementBytes: 8, isTruncated: false });
    expect(statement.sha256).toBe(sha256(statement.text));
  });

  it('holds a long statement, of which the beginning is kept', () => {
    const text = Buffer.alloc(100_000, 'select ');
    const statement = parseQuery(whole(frame('Q', text, '')));
    expect(statement).toMatchObject({ statementBytes: 100_000, isTruncated: true });
    expect(statement.text.equals(text.subarray(0, 65_536))).toBe(true);
    expect(statement.sha256).toBe(sha256(text));
  });

  it('names statements and portals by the 63 bytes that a server tells apart', () => {
    const name = 'n'.repeat(63);
    expect(parseParse(whole(client.parse(`${name}X`, 'x'))).name).toBe(name);
    expect(parseBind(whole(client.bind(`${name}Y`, `${name}Z`)))).toEqual({
      portal: name,
      statement: name,
    });
    expect(parseExecute(whole(client.execute(`${name}Z`)))).toBe(name);
    expect(parseClose(whole(client.close('P', `${name}Z`)))).toEqual({ kind: 'portal', name });
  });

  it('holds values, of which as many are kept as are asked for', () => {
    const limits = { maxValues: 3, maxValueBytes: 2 };
    const bind = client.bind('', '', ['abc', null, '', 'd']);
    expect(parseBoundValues(whole(bind), limits)).toEqual([
      { format: 'text', bytes: Buffer.from('ab'), valueBytes: 3 },
      { format: 'text', bytes: undefined, valueBytes: 0 },
      { format: 'text', bytes: Buffer.alloc(0), valueBytes: 0 },
    ]);
  });

  it.each([
    [[1], 'binary,binary'],
    [[], 'text,text'],
    [[0, 1], 'text,binary'],
  ])('has values in the formats %j', (formats, expected) => {
    const codes = formats.map((format) => int16(format));
    const values = [int16(2), int32(-1), int32(-1), int16(0)];
    const bind = frame('B', '', '', int16(codes.length), ...codes, ...values);
    const parsed = parseBoundValues(whole(bind), { maxValues: 9, maxValueBytes: 9 });
    expect(parsed.map(({ format }) => format).join()).toBe(expected);
  });

  it.each([
    // A server reads to the first NUL: whoever reads further judges another text.
    ['a Query with NUL in it', () => parseQuery(whole(frame('Q', 'select 1', 'drop')))],
    ['a Query without end', () => parseQuery(whole(frame('Q', Buffer.from('x'))))],
    ['a Parse with a rest', () => parseParse(whole(frame('P', '', 'x', int16(0), 'y')))],
    [
      'a Parse with half its types',
      () => parseParse(whole(frame('P', '', 'x', int16(2), int32(1)))),
    ],
    ['a Bind of one name', () => parseBind(whole(frame('B', 'x')))],
    [
      'a Bind whose value has a negative length',
      () =>
        parseBoundValues(whole(frame('B', '', '', int16(0), int16(1), int32(-2), int16(0))), {
          maxValues: 9,
          maxValueBytes: 9,
        }),
    ],
    ['an Execute without count', () => parseExecute(whole(frame('E', 'x')))],
    ['a Close of something else', () => parseClose(whole(frame('C', Buffer.from('X'), 'x')))],
  ])('is refused: %s', (_what, parse) => {
    expect(parse).toThrow(WireError);
  });
});

describe('a statement in pieces', () => {
  function collect(kind: 'query' | 'parse', bytes: Buffer, size: number) {
    const collector = new StatementCollector(kind);
    for (let at = 0; at < bytes.length; at += size) {
      const start = at === 0 ? 0 : at;
      const end = Math.min(bytes.length, at + size);
      collector.push(new Piece(at === 0 ? 'begin' : 'more', 0, bytes, start, end, 0, false));
    }
    return collector.finish();
  }

  it.each([5, 6, 7, 64, 1000, 200_000])('is the same in pieces of %d bytes', (size) => {
    const text = Buffer.alloc(150_000, 'select 1; ');
    const { name, statement } = collect('parse', frame('P', 'abc', text, '', int16(0)), size);
    expect(name).toBe('abc');
    expect(statement).toMatchObject({ statementBytes: 150_000, isTruncated: true });
    expect(statement.text.equals(text.subarray(0, 65_536))).toBe(true);
    expect(statement.sha256).toBe(sha256(text));
    expect(collect('query', frame('Q', text, ''), size).statement.sha256).toBe(sha256(text));
  });

  it('has a name of 63 bytes, however long it is', () => {
    const name = 'n'.repeat(5000);
    const bytes = client.parse(name, 'x');
    for (const size of [7, 50, 68, 69, 9000]) {
      expect(collect('parse', bytes, size).name).toBe(name.slice(0, 63));
    }
  });

  it('is refused without an end', () => {
    expect(() => collect('query', frame('Q', Buffer.from('x')), 100)).toThrow(WireError);
    expect(() => collect('parse', frame('P', 'x'), 100)).toThrow(WireError);
  });
});
