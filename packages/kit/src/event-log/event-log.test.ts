import { createHash } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createId } from '../ids/ids.js';
import { makeEvent } from '../testing/make-event.js';
import { escapeText } from './byte-text.js';
import {
  boundEvent,
  bytesOfText,
  decodeAuditRecord,
  decodeChunkRecord,
  encodeAuditRecord,
  encodeChunkRecord,
  eventKey,
  textOfBytes,
  trimmedNote,
  type AuditEvent,
} from './event-log.js';

const event = (fields: Partial<AuditEvent> = {}) => makeEvent({ cluster: 'home', ...fields });

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');

describe('record of an event', () => {
  it('is CloudEvents 1.0 in binary mode, keyed by session', () => {
    const sessionId = createId('ses');
    const record = encodeAuditRecord(
      event({ sessionId, sequence: 1, traceId: 'abc' }),
      'gatehouse://home/service/proxy/srv_1',
    );
    expect(record.key).toBe(sessionId);
    expect(record.headers).toMatchObject({
      ce_specversion: '1.0',
      ce_type: 'com.gatehouse.ssh.command_started',
      ce_source: 'gatehouse://home/service/proxy/srv_1',
      ce_time: '2026-11-26T00:00:00.000Z',
      'content-type': 'application/json',
    });
    expect(decodeAuditRecord(record)).toMatchObject({ sessionId, sequence: 1 });
  });

  it('is keyed by session, else login, agent, user, cluster', () => {
    const actor = { kind: 'user', name: 'alice', loginId: 'lgn_1' };
    expect(eventKey(event({ actor, sessionId: 'ses_1' }))).toBe('ses_1');
    expect(eventKey(event({ actor }))).toBe('lgn_1');
    expect(eventKey(event({ actor: { kind: 'agent', name: 'agt_1' } }))).toBe('agt_1');
    expect(eventKey(event({ target: { kind: 'node', name: 'web-1', agent: 'agt_2' } }))).toBe(
      'agt_2',
    );
    expect(eventKey(event())).toBe('alice');
    expect(eventKey(event({ actor: { kind: 'unknown', name: 'unknown' } }))).toBe('home');
  });

  it('keeps fields that this version does not know', () => {
    const record = encodeAuditRecord({ ...event(), future: { a: 1 } } as AuditEvent, 's');
    expect(decodeAuditRecord(record)).toMatchObject({ future: { a: 1 } });
  });

  it.each([
    ['broken JSON', '{"id":', 'json'],
    ['broken UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'json'],
    ['a missing id', JSON.stringify({ ...event(), id: undefined }), 'shape'],
    ['an unknown outcome', JSON.stringify({ ...event(), outcome: 'maybe' }), 'shape'],
    ['a list', '[]', 'shape'],
  ])('refuses %s and says why', (_what, value, reason) => {
    expect(() => decodeAuditRecord({ value: Buffer.from(value) })).toThrow(
      expect.objectContaining({ code: 'EVENT_UNDECODABLE', reason }),
    );
  });
});

describe('bounds of an event', () => {
  it('leave an ordinary event as it is', () => {
    const one = event({ data: { command: 'ls -l "C:\\\\u0000"', n: 1 } });
    expect(boundEvent(one)).toMatchObject({ event: one, trimmed: [] });
  });

  it('cut a 5 MB statement at 64 KiB with size and hash of the whole', () => {
    const statement = `select '${'x'.repeat(5_000_000)}'`;
    const bounded = boundEvent(event({ data: { statement, class: 'select' } }));
    const data = bounded.event.data as { statement: string; trimmed: unknown };
    expect(Buffer.byteLength(data.statement)).toBe(64 * 1024);
    expect(statement.startsWith(data.statement)).toBe(true);
    expect(data.trimmed).toEqual([
      { path: 'data.statement', bytes: statement.length, sha256: sha256(statement) },
    ]);
    expect(bounded.event.data).toMatchObject({ class: 'select' });
    expect(trimmedNote(bounded)).toMatchObject({ eventId: bounded.event.id, fields: data.trimmed });
  });

  it('split no character when they cut', () => {
    for (const character of ['é', '€', '😀']) {
      for (const shift of ['', 'a', 'ab', 'abc']) {
        const bounded = boundEvent(event({ data: { text: shift + character.repeat(60_000) } }));
        expect((bounded.event.data as { text: string }).text.isWellFormed()).toBe(true);
        expect(bounded.event.data).not.toHaveProperty('escapedFields');
      }
    }
  });

  it('write NUL, broken bytes and lone surrogates out, so that the original can be told', () => {
    const bounded = boundEvent(
      event({
        data: {
          path: textOfBytes(Buffer.from([0x61, 0, 0x5c, 0xff, 0xc3, 0xa9])) + '\ud800',
          ok: 'a\\b',
        },
      }),
    );
    expect(bounded.event.data).toEqual({
      path: String.raw`a\x00\\\xffé\ud800`,
      ok: 'a\\b',
      escapedFields: ['data.path'],
    });
  });

  it('cut a name of 200 KB outside the data', () => {
    const bounded = boundEvent(event({ target: { kind: 'node', name: 'n'.repeat(200_000) } }));
    expect(bounded.event.target?.name).toHaveLength(1024);
    expect(bounded.trimmed).toMatchObject([{ path: 'target.name', bytes: 200_000 }]);
    expect(() => decodeAuditRecord(encodeAuditRecord(bounded.event, 's'))).not.toThrow();
  });

  it('cut one long name in an otherwise small event', () => {
    const bounded = boundEvent(event({ actor: { kind: 'user', name: 'é'.repeat(600) } }));
    expect(bounded.event.actor.name).toBe('é'.repeat(512));
  });

  it('hold whatever the data is: many texts, many fields, depth, cycles, bigints', () => {
    const cyclic: Record<string, unknown> = {};
    cyclic['self'] = cyclic;
    const inputs: Record<string, unknown>[] = [
      Object.fromEntries(
        Array.from({ length: 50 }, (_, index) => [`f${index}`, 'x'.repeat(60_000)]),
      ),
      { list: Array.from({ length: 100_000 }, (_, index) => `item ${index}`) },
      cyclic,
      { big: 10n },
    ];
    for (const data of inputs) {
      const bounded = boundEvent(event({ data }));
      expect(Buffer.byteLength(bounded.json)).toBeLessThanOrEqual(128 * 1024);
      expect(JSON.parse(bounded.json)).toEqual(JSON.parse(JSON.stringify(bounded.event)));
    }
  });

  it('hold whatever stands beside the data', () => {
    const labels = Object.fromEntries(
      Array.from({ length: 20_000 }, (_, index) => [`label-${index}`, 'value']),
    );
    const target = { kind: 'node', name: 'web-1', agent: 'agt_1', labels };
    for (const large of [event({ target }), { ...event(), future: labels } as AuditEvent]) {
      const bounded = boundEvent(large);
      expect(Buffer.byteLength(bounded.json)).toBeLessThanOrEqual(128 * 1024);
      expect(decodeAuditRecord({ value: Buffer.from(bounded.json) }).id).toBe(large.id);
    }
    const { event: kept } = boundEvent(event({ target }));
    expect(kept.target).toEqual({ kind: 'node', name: 'web-1', agent: 'agt_1' });
  });

  // Deep enough to end whoever walks through all of it, and within 64 KiB.
  it('hold for what is nested without end', () => {
    const nested = JSON.parse(`${'['.repeat(20_000)}${']'.repeat(20_000)}`) as unknown;
    for (const deep of [event({ data: { nested } }), { ...event(), future: nested } as AuditEvent])
      expect(boundEvent(deep).json).toContain('[too deep]');
  });

  it('hold for any text, and what comes out can be stored anywhere', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })),
        fc.string({ unit: 'binary' }),
        (data, name) => {
          const bounded = boundEvent(event({ data, actor: { kind: 'user', name } }));
          expect(bounded.json).not.toMatch(/(?<!\\)(\\\\)*\\u(0000|d[89a-f])/);
          decodeAuditRecord({ value: Buffer.from(bounded.json) });
        },
      ),
    );
  });
});

describe('text of bytes', () => {
  it('gives any bytes back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(bytesOfText(textOfBytes(bytes)).equals(Buffer.from(bytes))).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('is plain text for UTF-8, a byte order mark included', () => {
    expect(textOfBytes(Buffer.from('\ufeffaé😀'))).toBe('\ufeffaé😀');
    expect(escapeText(textOfBytes(Buffer.from([0xed, 0xa0, 0x80])))).toBe(String.raw`\xed\xa0\x80`);
  });
});

describe('record of a chunk', () => {
  const content = Buffer.from('content');
  const chunk = {
    recordingId: createId('rec'),
    sessionId: createId('ses'),
    cluster: 'home',
    actor: { kind: 'user', name: 'alice' },
    index: 0,
    fromMs: 0,
    toMs: 5,
    recordedBytes: 7,
    content,
    sha256: sha256(content),
    previousSha256: '0'.repeat(64),
  };

  it('comes back whole', () => {
    expect(decodeChunkRecord(encodeChunkRecord(chunk))).toEqual(chunk);
  });

  it.each([
    [
      'content that is not what its hash says',
      { ...encodeChunkRecord(chunk), value: Buffer.from('other') },
    ],
    ['an id that is a path', encodeChunkRecord({ ...chunk, recordingId: '../../etc/passwd' })],
    ['a negative index', encodeChunkRecord({ ...chunk, index: -1 })],
    ['no metadata', { key: 'k', headers: {}, value: content }],
    ['more bytes than a chunk has', { ...encodeChunkRecord(chunk), value: Buffer.alloc(300_000) }],
  ])('refuses %s', (_what, record) => {
    expect(() => decodeChunkRecord(record)).toThrow(
      expect.objectContaining({ code: 'CHUNK_UNDECODABLE' }),
    );
  });
});
