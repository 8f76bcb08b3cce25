/** Fuzz targets of what arrives from the event log. */
import type { FuzzTarget } from '../spool/testing.js';
import { decodeAuditRecord, encodeAuditRecord } from './audit-event.js';
import { boundEvent } from './bounds.js';
import { bytesOfText, textOfBytes } from './byte-text.js';
import { decodeChunkRecord } from './chunk-record.js';

const event = {
  id: `evt_${'0'.repeat(32)}`,
  type: 'session.started',
  time: '2026-11-26T00:00:00.000Z',
  cluster: 'home',
  sessionId: `ses_${'0'.repeat(32)}`,
  sequence: 1,
  actor: { kind: 'user', name: 'alice', roles: ['dev'], loginId: 'lgn_1', address: '127.0.0.1:1' },
  target: { kind: 'node', name: 'web-1', labels: { env: 'staging' }, agent: 'agt_1' },
  outcome: 'success',
  data: { command: 'ls' },
} as const;

const chunk = {
  recordingId: `rec_${'0'.repeat(32)}`,
  sessionId: event.sessionId,
  cluster: 'home',
  actor: event.actor,
  index: 0,
  fromMs: 0,
  toMs: 1,
  recordedBytes: 0,
  sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  previousSha256: '0'.repeat(64),
};

export const eventLogFuzzTargets: readonly FuzzTarget[] = [
  {
    name: 'audit event record',
    seeds: [Buffer.from(JSON.stringify(event))],
    run: (input) => {
      const decoded = decodeAuditRecord({ value: input });
      encodeAuditRecord(boundEvent(decoded).event, 'gatehouse://home/service/proxy/srv_1');
    },
  },
  {
    name: 'recording chunk metadata',
    seeds: [Buffer.from(JSON.stringify(chunk))],
    run: (input) => {
      decodeChunkRecord({
        key: 'k',
        headers: { gatehouse_chunk: input.toString() },
        value: Buffer.alloc(0),
      });
    },
  },
  {
    name: 'text of bytes',
    seeds: [Buffer.from('aé😀'), Buffer.from([0xed, 0xa0, 0x80, 0xff, 0xc3])],
    run: (input) => {
      if (!bytesOfText(textOfBytes(input)).equals(input)) throw new Error('other bytes came back');
    },
  },
];
