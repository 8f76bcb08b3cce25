import { EventWriter } from './event-writer.js';
/** Fuzz target of the spool's reader: whatever a file holds, reading it ends, and gives what was written. */
import {
  encodeJsonFrame,
  encodeTwoPartFrame,
  fileHeader,
  frameKinds,
  readSegment,
} from './frame.js';
import { OpenRecordings } from './recordings.js';
import { endLostSessions } from './recovery.js';
import { OpenSessions } from './sessions.js';
import { chunkRecord, eventRecord } from './spool-records.js';

export interface FuzzTarget {
  readonly name: string;
  /** Throws nothing but GatehouseError. */
  run(input: Buffer): void;
  readonly seeds: readonly Buffer[];
}

const header = { sessionId: `ses_${'0'.repeat(32)}`, actor: { kind: 'user', name: 'alice' } };
const event = {
  id: `evt_${'0'.repeat(32)}`,
  type: 'session.started',
  time: '2026-11-26T00:00:00.000Z',
  cluster: 'home',
  sessionId: header.sessionId,
  sequence: 1,
  actor: header.actor,
  outcome: 'success',
  data: {},
};

function seed(): Buffer {
  return Buffer.concat([
    fileHeader,
    encodeJsonFrame(frameKinds.snapshot, 1, { sessions: [] }),
    encodeJsonFrame(frameKinds.sessionOpened, 2, header),
    encodeTwoPartFrame(frameKinds.event, 3, {
      head: JSON.stringify({ opens: 'a' }),
      rest: JSON.stringify(event),
    }),
    encodeJsonFrame(frameKinds.recordingOpened, 4, {
      sessionId: header.sessionId,
      recordingId: 'rec_1',
    }),
    encodeTwoPartFrame(frameKinds.chunk, 5, {
      head: JSON.stringify({ recordingId: 'rec_1', index: 0 }),
      rest: Buffer.of(1, 2, 3),
    }),
    encodeTwoPartFrame(frameKinds.sessionClosed, 6, { head: '', rest: header.sessionId }),
  ]);
}

/** Reads a segment as a recovery and a shipper do. */
export const spoolFuzzTargets: readonly FuzzTarget[] = [
  {
    name: 'spool segment',
    seeds: [seed(), seed().subarray(0, 100), fileHeader],
    run: (input) => {
      const sessions = new OpenSessions();
      const openRecordings = new OpenRecordings();
      for (const frame of readSegment(input)?.frames ?? []) {
        sessions.replay(frame);
        openRecordings.replay(frame);
        eventRecord(frame, 'gatehouse://home/service/proxy/srv_1');
        chunkRecord(frame);
      }
      const lane = { append: () => 0 };
      const clock = { now: () => 0, monotonic: () => 0 };
      const writer = new EventWriter({ lane, sessions, clock, cluster: 'home' });
      endLostSessions({
        sessions,
        openRecordings,
        writer,
        closeSession: (state) => sessions.close(state.header.sessionId),
      });
    },
  },
];
