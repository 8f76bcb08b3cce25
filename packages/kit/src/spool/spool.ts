/**
 * The audit spool (D24): what a service has to say about sessions, on its own disk first and on the event log afterwards.
 *
 * Two lanes, events and recordings, each a directory of append-only segment files. An append is one `write`, so it
 * survives the process once it returns; files are synced within 50 ms. A shipper per lane publishes in order, one batch
 * in flight, and repeats for ever; what is acknowledged is deleted by segments.
 *
 * Sessions have journals, which give their events their numbers. What is open is repeated at the start of each segment,
 * so it is known after `kill -9` however old it is: the next owner of the directory completes open intents and
 * recordings and ends the sessions with reason `proxy_lost`.
 *
 * Full: strict appends are refused, best_effort events are counted and one `audit.events_lost` follows.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { topics } from '../event-log/types.js';
import { takeLock } from '../lifecycle/lifecycle.js';
import { spoolError } from './errors.js';
import { EventSpool, type SpoolParts } from './event-spool.js';
import { EventWriter } from './event-writer.js';
import { Lane } from './lane.js';
import { OpenRecordings } from './recordings.js';
import { endLostSessions } from './recovery.js';
import { OpenSessions } from './sessions.js';
import { Shipper } from './shipper.js';
import { chunkRecord, eventRecord, shrinkEvent } from './spool-records.js';
import type { Spool, SpoolLimits, SpoolOptions } from './types.js';

export { spoolErrors } from './errors.js';
export { spoolEvents } from './events.js';
export { recoveredEventId, resultTypeOf } from './sessions.js';
export type {
  JournalEvent,
  LaneState,
  LooseEvent,
  SessionHeader,
  SessionJournal,
  Spool,
  SpoolLimits,
  SpoolOptions,
  SpoolState,
} from './types.js';

const mebibyte = 1024 * 1024;
const defaultLimits: SpoolLimits = {
  eventsBytes: 256 * mebibyte,
  recordingsBytes: 1024 * mebibyte,
  eventSegmentBytes: 8 * mebibyte,
  recordingSegmentBytes: 32 * mebibyte,
};

/**
 * Opens the spool of a directory and recovers what an earlier owner left.
 * @throws SPOOL_IN_USE, and the system's error where the directory can't be written
 */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  mkdirSync(options.dir, { recursive: true, mode: 0o700 });
  await using stack = new AsyncDisposableStack();
  const lock = stack.use(
    takeLock(join(options.dir, 'lock'), (pid) =>
      spoolError('SPOOL_IN_USE', { details: { dir: options.dir, pid } }),
    ),
  );
  const parts = openParts(options, lock);
  const eventFrames = parts.events.recover();
  for (const frame of eventFrames.frames) parts.sessions.replay(frame);
  const recordingFrames = parts.recordings.recover();
  for (const frame of recordingFrames.frames) parts.openRecordings.replay(frame);
  parts.events.start();
  parts.recordings.start();
  const spool = new EventSpool(parts);
  recover(spool, parts, eventFrames.damaged);
  spool.start(createShippers(spool, parts));
  stack.move();
  return spool;
}

function openParts(options: SpoolOptions, lock: Disposable): SpoolParts {
  const { dir, clock, logger, cluster } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const sessions = new OpenSessions();
  const openRecordings = new OpenRecordings();
  const shared = { logger, now: () => clock.now() };
  const events = new Lane({
    ...shared,
    dir: join(dir, 'events'),
    limitBytes: limits.eventsBytes,
    segmentBytes: limits.eventSegmentBytes,
    snapshot: () => sessions.snapshot(),
  });
  const recordings = new Lane({
    ...shared,
    dir: join(dir, 'recordings'),
    limitBytes: limits.recordingsBytes,
    segmentBytes: limits.recordingSegmentBytes,
    snapshot: () => openRecordings.snapshot(),
  });
  const writer = new EventWriter({ lane: events, sessions, clock, cluster });
  return { options, events, recordings, sessions, openRecordings, writer, lock };
}

function recover(spool: EventSpool, parts: SpoolParts, damaged: number): void {
  const { sessions, openRecordings, writer, options } = parts;
  const { losingSinceMs } = sessions;
  const { ended, lost } = endLostSessions({
    sessions,
    openRecordings,
    writer,
    closeSession: (state) => {
      spool.closeSession(state);
    },
  });
  if (ended > 0)
    options.logger.warn({ sessions: ended }, 'sessions of an earlier process ended as lost');
  if (losingSinceMs !== undefined) spool.noteLoss({ fromMs: losingSinceMs });
  if (damaged + lost > 0) spool.noteLoss({ count: damaged + lost });
}

function createShippers(
  spool: EventSpool,
  parts: SpoolParts,
): [events: Shipper, recordings: Shipper] {
  const { options, events, recordings } = parts;
  const source = `gatehouse://${options.cluster}/service/${options.serviceKind ?? 'proxy'}/${options.replicaId}`;
  const shared = {
    eventLog: options.eventLog,
    logger: options.logger,
    onAcknowledged: () => {
      spool.onAcknowledged();
    },
    onLoss: () => {
      spool.noteLoss();
    },
  };
  return [
    new Shipper({
      ...shared,
      lane: events,
      topic: topics.audit,
      toRecord: (frame) => eventRecord(frame, source),
      shrink: (record) => shrinkEvent(record, source),
    }),
    new Shipper({
      ...shared,
      lane: recordings,
      topic: topics.recordings,
      toRecord: chunkRecord,
      shrink: () => undefined,
    }),
  ];
}
