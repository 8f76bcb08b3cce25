/** The spool as one object: both lanes, what is open, and what happens when a lane is full. */
import { encodeChunkMetadata, type RecordingChunk } from '../event-log/chunk-record.js';
import { withDeadline } from '../lifecycle/lifecycle.js';
import { spoolError } from './errors.js';
import { reserveBytes, trimmedEvent, type EventWriter, type WrittenEvent } from './event-writer.js';
import { encodeJsonFrame, encodeTwoPartFrame, frameKinds } from './frame.js';
import { Journal, type JournalWriter } from './journal.js';
import type { Lane } from './lane.js';
import { Losses } from './losses.js';
import { Paces } from './paces.js';
import type { OpenRecordings } from './recordings.js';
import type { OpenSessions, SessionState } from './sessions.js';
import type { Shipper } from './shipper.js';
import type {
  JournalEvent,
  LaneState,
  LooseEvent,
  SessionHeader,
  SessionJournal,
  Spool,
  SpoolOptions,
  SpoolState,
} from './types.js';

/** A lane that was full takes best_effort events again below this share of its limit. */
const resumeShare = 0.9;
/** How often a full spool looks whether it is still full. */
const probeMs = 1000;

export interface SpoolParts {
  readonly options: SpoolOptions;
  readonly events: Lane;
  readonly recordings: Lane;
  readonly sessions: OpenSessions;
  readonly openRecordings: OpenRecordings;
  readonly writer: EventWriter;
  readonly lock: Disposable;
}

export class EventSpool implements Spool, JournalWriter {
  readonly #parts: SpoolParts;
  readonly #losses = new Losses();
  readonly #paces: Paces;
  #shippers: readonly [events: Shipper, recordings: Shipper] | undefined;
  #areEventsFull = false;
  #areRecordingsFull = false;
  #probe: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: SpoolParts) {
    this.#parts = parts;
    this.#paces = new Paces(parts.options.clock, parts.events.limitBytes);
  }

  /** Begins to publish. */
  start(shippers: readonly [events: Shipper, recordings: Shipper]): void {
    this.#shippers = shippers;
    for (const shipper of shippers) shipper.start();
  }

  session(header: SessionHeader): SessionJournal {
    if (this.#closed) throw spoolError('SPOOL_CLOSED');
    const { sessions, events, writer } = this.#parts;
    if (sessions.get(header.sessionId) !== undefined) throw spoolError('SPOOL_SESSION_OPEN');
    if (header.strict === true && this.#areEventsFull) throw spoolError('SPOOL_FULL');
    const bounded = writer.boundHeader(header);
    const frame = encodeJsonFrame(frameKinds.sessionOpened, this.#now(), bounded);
    if (events.append(frame, reserveBytes) === undefined && header.strict === true)
      throw spoolError('SPOOL_FULL');
    return new Journal(this, sessions.open(bounded, this.#now()));
  }

  emit(event: LooseEvent): void {
    const written =
      this.#closed || this.#areEventsFull ? undefined : this.#parts.writer.writeLoose(event);
    if (written === undefined) return this.#drop();
    const trimmed = trimmedEvent(written);
    if (trimmed !== undefined) this.emit({ ...trimmed, actor: event.actor });
  }

  state(): SpoolState {
    const { events, recordings } = this.#parts;
    return {
      events: this.#laneState(events),
      recordings: this.#laneState(recordings),
      full:
        this.#areEventsFull ||
        this.#areRecordingsFull ||
        events.isSyncFailing ||
        recordings.isSyncFailing,
      degraded: (this.#shippers ?? []).some((shipper) => shipper.failing),
      lost: this.#losses.total,
    };
  }

  async flushed(signal?: AbortSignal): Promise<void> {
    await Promise.all((this.#shippers ?? []).map(async (shipper) => shipper.acknowledged(signal)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#probe);
    const { options, events, recordings, lock } = this.#parts;
    const late = () => spoolError('SPOOL_NOT_ACKNOWLEDGED');
    await withDeadline(this.flushed(), options.flushMs ?? 3000, late).catch(() => undefined);
    const stopped = Promise.all((this.#shippers ?? []).map(async (shipper) => shipper.close()));
    await withDeadline(stopped, 2000, late).catch(() => undefined);
    try {
      await Promise.all([events.close(), recordings.close()]);
    } finally {
      lock[Symbol.dispose]();
    }
  }

  writeEvent(
    state: SessionState,
    event: JournalEvent,
    options: { isStrict: boolean; isVital: boolean },
  ): number | undefined {
    const mayWrite = !this.#closed && (!this.#areEventsFull || options.isVital);
    const position = mayWrite ? this.#tryWrite(state, event, options) : undefined;
    if (position !== undefined) return position;
    if (options.isStrict) {
      this.#becomeFull();
      throw spoolError('SPOOL_FULL');
    }
    // Nobody misses what is not published.
    if (event.published === false) return undefined;
    // The number is used up, so that the gap shows within the session too.
    state.sequence += 1;
    this.#drop();
    return undefined;
  }

  writeChunk(state: SessionState, recordingId: string, chunk: RecordingChunk): void {
    const { options, recordings, openRecordings } = this.#parts;
    const { sessionId, actor, target, protocol } = state.header;
    this.#openRecording(state, recordingId);
    const metadata = encodeChunkMetadata({
      ...chunk,
      recordingId,
      sessionId,
      cluster: options.cluster,
      actor,
      ...(target === undefined ? {} : { target }),
      ...(protocol === undefined ? {} : { protocol }),
    });
    const frame = encodeTwoPartFrame(frameKinds.chunk, this.#now(), {
      head: metadata,
      rest: chunk.content,
    });
    if (recordings.append(frame) === undefined) {
      this.#areRecordingsFull = true;
      this.#startProbe();
      throw spoolError('SPOOL_FULL');
    }
    openRecordings.noteChunk({ ...chunk, recordingId, writtenMs: this.#now() });
  }

  closeSession(state: SessionState): void {
    const { sessions, events, openRecordings } = this.#parts;
    const { sessionId } = state.header;
    for (const recordingId of state.recordings) openRecordings.close(recordingId);
    if (sessions.get(sessionId) !== state) return;
    events.append(
      encodeTwoPartFrame(frameKinds.sessionClosed, this.#now(), { head: '', rest: sessionId }),
      reserveBytes,
    );
    sessions.close(sessionId);
  }

  waitMs({ header }: SessionState): number {
    return this.#paces.waitMs(header.actor.name, this.#fill);
  }

  async acknowledged(position: number, signal: AbortSignal): Promise<void> {
    await this.#shippers?.[0].acknowledged(signal, position);
  }

  /** The event log took a batch. */
  onAcknowledged(): void {
    if (this.#probe !== undefined) this.#resume();
  }

  /** Something was lost in the spool itself, or in an earlier life of it; at least `count` events. */
  noteLoss(options: { count?: number; fromMs?: number } = {}): void {
    this.#losses.add(this.#now(), { ...options, isExact: false });
    this.#startProbe();
    this.#resume();
  }

  #tryWrite(
    state: SessionState,
    event: JournalEvent,
    options: { isVital: boolean },
  ): number | undefined {
    const { writer, events } = this.#parts;
    const before = events.written;
    const position =
      event.published === false
        ? writer.writePrivate(state, event, options.isVital)
        : this.#writeNumbered(state, event, options);
    this.#paces.note(state.header.actor.name, events.written - before, this.#fill);
    return position;
  }

  #writeNumbered(
    state: SessionState,
    event: JournalEvent,
    options: { isVital: boolean },
  ): number | undefined {
    const written = this.#parts.writer.writeNumbered(state, event, options);
    return written === undefined ? undefined : this.#afterEvent(state, written);
  }

  /** Share of the limit that is taken. */
  get #fill(): number {
    const { events } = this.#parts;
    return events.pendingBytes / events.limitBytes;
  }

  #afterEvent(state: SessionState, written: WrittenEvent): number {
    const { type, data } = written.bounded.event;
    if (type.startsWith('recording.') && typeof data['recordingId'] === 'string')
      this.#closeRecording(state, data['recordingId']);
    const trimmed = trimmedEvent(written);
    if (trimmed !== undefined && type !== 'session.ended')
      this.writeEvent(state, trimmed, { isStrict: false, isVital: false });
    return written.position;
  }

  #openRecording(state: SessionState, recordingId: string): void {
    if (state.recordings.has(recordingId)) return;
    const opened = encodeJsonFrame(frameKinds.recordingOpened, this.#now(), {
      sessionId: state.header.sessionId,
      recordingId,
    });
    if (this.#parts.events.append(opened, reserveBytes) === undefined)
      throw spoolError('SPOOL_FULL');
    state.recordings.add(recordingId);
  }

  #closeRecording(state: SessionState, recordingId: string): void {
    if (!state.recordings.has(recordingId)) this.#parts.openRecordings.close(recordingId);
  }

  #drop(): void {
    if (this.#losses.isEmpty) {
      const { sessions, events } = this.#parts;
      sessions.losingSinceMs = this.#now();
      events.append(encodeJsonFrame(frameKinds.losing, this.#now(), {}), reserveBytes);
    }
    this.#losses.add(this.#now());
    this.#becomeFull();
  }

  #becomeFull(): void {
    if (!this.#areEventsFull)
      this.#parts.options.logger.error({ bytes: this.#parts.events.pendingBytes }, 'spool full');
    this.#areEventsFull = true;
    this.#startProbe();
  }

  #startProbe(): void {
    if (this.#closed) return;
    this.#probe ??= setInterval(() => {
      this.#resume();
    }, probeMs).unref();
  }

  /** Takes events again where there is room, after saying what was lost. */
  #resume(): void {
    const { events, recordings, options, writer, sessions } = this.#parts;
    if (hasRoom(recordings)) this.#areRecordingsFull = false;
    if (!hasRoom(events)) return;
    if (!this.#losses.isEmpty) {
      if (writer.writeLoose(this.#losses.describe(options.replicaId), true) === undefined) return;
      sessions.losingSinceMs = undefined;
      this.#losses.clear();
    }
    this.#areEventsFull = false;
    if (this.#areRecordingsFull) return;
    clearInterval(this.#probe);
    this.#probe = undefined;
  }

  #laneState(lane: Lane): LaneState {
    const oldestMs = lane.oldestMs === undefined ? 0 : Math.max(0, this.#now() - lane.oldestMs);
    return { bytes: lane.pendingBytes, limitBytes: lane.limitBytes, oldestMs };
  }

  #now(): number {
    return this.#parts.options.clock.now();
  }
}

function hasRoom(lane: Lane): boolean {
  return lane.pendingBytes < lane.limitBytes * resumeShare && lane.recoverDisk();
}
