import { encodeAuditRecord, type StoredRecord } from '@gatehouse/kit/event-log';
import { makeEvent } from '@gatehouse/kit/testing';
import { describe, expect, it } from 'vitest';

import { decodeRecords } from './decode-records.js';
import { eventTypes } from './types.js';

let position = 0n;
function toRecord(event: unknown, headers: Record<string, string> = {}): StoredRecord {
  position += 1n;
  const value = Buffer.from(typeof event === 'string' ? event : JSON.stringify(event));
  return { topic: 't', partition: 0, position, key: 'k', headers, value };
}

describe('records of the audit topic', () => {
  it('are events in their order, each with its record', async () => {
    const events = [...eventTypes].map((type) => makeEvent({ type }));
    const records = events.map((event) => ({
      ...toRecord(event),
      ...encodeAuditRecord(event, 'test'),
    }));
    const decoded = await decodeRecords(records, eventTypes);
    expect(decoded.letters).toEqual([]);
    expect(Array.from(decoded.events.keys(), ({ event }) => event)).toEqual(events);
    expect([...decoded.events.values()]).toEqual(records);
  });

  it.each([
    ['broken JSON', toRecord('{"id":'), /^json: /],
    ['a missing id', toRecord({ ...makeEvent(), id: undefined }), /^shape: .*id/],
    ['a future version', toRecord(makeEvent(), { ce_specversion: '9.0' }), /^version: .*9\.0$/],
    [
      'a foreign envelope',
      toRecord(makeEvent(), { ce_type: 'com.example.thing' }),
      /^type: CloudEvents com\.example\.thing$/,
    ],
    [
      'an unknown type without an envelope',
      toRecord(makeEvent({ type: 'ssh.command_dreamt' })),
      /^unknown_type: ssh\.command_dreamt$/,
    ],
    [
      'an unknown type in our envelope',
      {
        ...toRecord(''),
        ...encodeAuditRecord(makeEvent({ type: 'ssh.command_dreamt' }), 'test'),
      },
      /^unknown_type: ssh\.command_dreamt$/,
    ],
    [
      'a name that objects have',
      toRecord(makeEvent({ type: 'constructor.name' })),
      /^unknown_type: constructor\.name$/,
    ],
  ])(
    'with %s are dead letters, and what lies around them is not',
    async (_what, record, reason) => {
      const around = [toRecord(makeEvent()), toRecord(makeEvent())];
      const [before, after] = around;
      if (before === undefined || after === undefined) throw new Error('no records');
      const decoded = await decodeRecords([before, record, after], eventTypes);
      expect([...decoded.events.values()]).toEqual(around);
      expect(decoded.letters).toEqual([
        { record, reason: expect.stringMatching(reason) as string },
      ]);
    },
  );

  it('are of the types that are known, and of no others', async () => {
    const record = toRecord(makeEvent({ type: 'ssh.command_dreamt' }));
    expect((await decodeRecords([record], new Set(['ssh.command_dreamt']))).letters).toEqual([]);
    expect((await decodeRecords([toRecord(makeEvent())], new Set())).events.size).toBe(0);
  });
});
