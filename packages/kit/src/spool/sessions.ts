/**
 * What is open: sessions with their next number, intents without a result, recordings without an end. The same steps are
 * taken when something is written and when it is read back, so a recovery knows what the dead process knew.
 */
import { createHash } from 'node:crypto';

import { z } from 'zod';

import { actorSchema, targetSchema } from '../event-log/audit-event.js';
import { decodeTwoParts, frameKinds, type Frame } from './frame.js';
import type { JournalEvent, SessionHeader } from './types.js';

/** What a recovery needs of an intent to write its result. */
interface OpenIntent {
  readonly resultType: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface SessionState {
  readonly header: SessionHeader;
  /** The last number taken. */
  sequence: number;
  /** `session.started` was written, so `session.ended` is due. */
  started: boolean;
  lastMs: number;
  readonly intents: Map<string, OpenIntent>;
  readonly recordings: Set<string>;
}

/** What is taken notice of in an event. */
interface NotedEvent {
  readonly type: string;
  readonly time: string;
  readonly sequence?: number | undefined;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Written beside an event, for recovery only. */
export interface EventNote {
  readonly opens?: string;
  readonly resultType?: string;
  readonly closes?: string;
}

/**
 * Values of an intent's data that a result repeats are kept up to this many characters, of those beyond the first 256 that are
 * open in one session up to fewer: all that is open stands in each segment's snapshot.
 */
const maxIntentText = 1024;
const maxFullIntents = 256;
const maxShortText = 64;
/** Of all intents in a snapshot; a frame holds 64 MiB, and a character takes up to six bytes in it. */
const maxSnapshotChars = 8 * 1024 * 1024;
const intentOverheadChars = 100;

const resultTypes: Readonly<Record<string, string>> = {
  'db.statement_started': 'db.statement_executed',
  'kube.request_started': 'kube.request_served',
  'app.request_started': 'app.request_served',
};

/** The type of the event that completes an intent (D23): the same, whether it failed or a recovery says so. */
export function resultTypeOf(intent: string): string {
  return (
    resultTypes[intent] ??
    (intent.endsWith('_started') ? `${intent.slice(0, -'_started'.length)}_ended` : intent)
  );
}

/**
 * Id of an event that a recovery writes: the same however often it is written, by whomever. `what` is `session.ended`
 * for the end of a lost session.
 */
export function recoveredEventId(sessionId: string, what: string): string {
  const hash = createHash('sha256').update(`${sessionId}\n${what}`).digest('hex');
  return `evt_${sessionId.slice(4, 16)}7${hash.slice(0, 3)}8${hash.slice(3, 18)}`;
}

export class OpenSessions {
  readonly #sessions = new Map<string, SessionState>();
  /** Since when events are dropped without a note of it; ms since the epoch. */
  losingSinceMs: number | undefined;

  get(sessionId: string): SessionState | undefined {
    return this.#sessions.get(sessionId);
  }

  all(): SessionState[] {
    return [...this.#sessions.values()];
  }

  open(header: SessionHeader, nowMs: number): SessionState {
    const state: SessionState = {
      header,
      sequence: 0,
      started: false,
      lastMs: nowMs,
      intents: new Map(),
      recordings: new Set(),
    };
    this.#sessions.set(header.sessionId, state);
    return state;
  }

  close(sessionId: string): void {
    this.#sessions.delete(sessionId);
  }

  /** Takes notice of an event that was written. */
  noteEvent(state: SessionState, event: NotedEvent, note: EventNote): void {
    state.sequence = Math.max(state.sequence, event.sequence ?? 0);
    state.lastMs = Math.max(state.lastMs, Date.parse(event.time) || 0);
    noteIntent(state, event, note);
    if (event.type === 'session.started') state.started = true;
    if (event.type === 'recording.completed' || event.type === 'recording.failed') {
      const { recordingId } = event.data;
      if (typeof recordingId === 'string') state.recordings.delete(recordingId);
    }
    if (event.type === 'session.ended') this.close(state.header.sessionId);
  }

  /** All of it, but for intents beyond what a frame can hold: a recovery then says that something was lost. */
  snapshot(): unknown {
    let leftChars = maxSnapshotChars;
    let { losingSinceMs } = this;
    const sessions = this.all().map((state) => {
      const intents = [...state.intents].filter(([, { data }]) => {
        leftChars -= charsOf(data);
        if (leftChars < 0) losingSinceMs ??= state.lastMs;
        return leftChars >= 0;
      });
      return { ...state, intents, recordings: [...state.recordings] };
    });
    return { sessions, losingSinceMs };
  }

  /** Repeats what a frame says. Frames that are not understood are passed over. */
  replay(frame: Frame): void {
    switch (frame.kind) {
      case frameKinds.snapshot:
        return this.#restore(frame.body);
      case frameKinds.sessionOpened:
        return this.#replayOpened(frame);
      case frameKinds.event:
      case frameKinds.privateEvent:
        return this.#replayEvent(frame.body);
      case frameKinds.sessionClosed:
        return this.#replayClosed(frame.body);
      case frameKinds.recordingOpened:
        return this.#replayRecording(frame.body);
      case frameKinds.losing:
        this.losingSinceMs ??= frame.timeMs;
    }
  }

  #restore(body: Buffer): void {
    const snapshot = parseWith(snapshotSchema, body);
    if (snapshot === undefined) return;
    this.#sessions.clear();
    this.losingSinceMs = snapshot.losingSinceMs;
    for (const { header, sequence, started, lastMs, intents, recordings } of snapshot.sessions) {
      const state = this.open(toHeader(header), lastMs);
      state.sequence = sequence;
      state.started = started;
      for (const [word, intent] of intents) state.intents.set(word, intent);
      for (const recordingId of recordings) state.recordings.add(recordingId);
    }
  }

  #replayOpened(frame: Frame): void {
    const header = parseWith(headerSchema, frame.body);
    if (header !== undefined) this.open(toHeader(header), frame.timeMs);
  }

  #replayClosed(body: Buffer): void {
    const sessionId = decodeTwoParts(body)?.rest.toString();
    if (sessionId !== undefined) this.close(sessionId);
  }

  #replayEvent(body: Buffer): void {
    const parts = decodeTwoParts(body);
    const event = parts === undefined ? undefined : parseWith(replayedEventSchema, parts.rest);
    if (parts === undefined || event === undefined) return;
    if (event.type === 'audit.events_lost') this.losingSinceMs = undefined;
    const state = event.sessionId === undefined ? undefined : this.#sessions.get(event.sessionId);
    if (state === undefined) return;
    const note = parts.head.length === 0 ? {} : parseWith(noteSchema, parts.head);
    this.noteEvent(state, event, dropUndefined(note ?? {}));
  }

  #replayRecording(body: Buffer): void {
    const opened = parseWith(recordingOpenedSchema, body);
    if (opened !== undefined)
      this.#sessions.get(opened.sessionId)?.recordings.add(opened.recordingId);
  }
}

function noteIntent(state: SessionState, event: NotedEvent, note: EventNote): void {
  if (note.closes !== undefined) state.intents.delete(note.closes);
  if (note.opens === undefined) return;
  const resultType = note.resultType ?? resultTypeOf(event.type);
  const maxChars = state.intents.size < maxFullIntents ? maxIntentText : maxShortText;
  state.intents.set(note.opens, { resultType, data: shortened(event.data, maxChars) });
}

/** About what it takes as JSON, of whatever bytes. */
function charsOf(data: Readonly<Record<string, unknown>>): number {
  let chars = intentOverheadChars;
  for (const [key, value] of Object.entries(data))
    chars += key.length + (typeof value === 'string' ? value.length : 20);
  return chars;
}

/** What a recovery keeps of an intent's data. */
export function shortened(
  data: Readonly<Record<string, unknown>>,
  maxChars = maxIntentText,
): Record<string, unknown> {
  const short: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(data)) {
    if (typeof value === 'string') short[key] = value.slice(0, maxChars);
    else if (typeof value === 'number' || typeof value === 'boolean') short[key] = value;
  }
  return short;
}

const headerSchema = z.object({
  sessionId: z.string(),
  actor: actorSchema,
  target: targetSchema.optional(),
  protocol: z.string().optional(),
  traceId: z.string().optional(),
  strict: z.boolean().optional(),
});
const data = z.record(z.string(), z.unknown());
const snapshotSchema = z.object({
  sessions: z.array(
    z.object({
      header: headerSchema,
      sequence: z.int().min(0),
      started: z.boolean(),
      lastMs: z.number(),
      intents: z.array(z.tuple([z.string(), z.object({ resultType: z.string(), data })])),
      recordings: z.array(z.string()),
    }),
  ),
  losingSinceMs: z.number().optional(),
});
const noteSchema = z.object({
  opens: z.string().optional(),
  resultType: z.string().optional(),
  closes: z.string().optional(),
});
const recordingOpenedSchema = z.object({ sessionId: z.string(), recordingId: z.string() });
const replayedEventSchema = z.object({
  type: z.string(),
  time: z.string(),
  sessionId: z.string().optional(),
  sequence: z.int().optional(),
  data,
});

/** JSON checked against a schema; undefined where it does not fit. */
export function parseWith<Schema extends z.ZodType>(
  schema: Schema,
  body: Buffer,
): z.output<Schema> | undefined {
  try {
    return schema.safeParse(JSON.parse(body.toString())).data;
  } catch {
    return undefined;
  }
}

function toHeader(header: z.output<typeof headerSchema>): SessionHeader {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- they differ in `undefined` only, which is dropped
  return dropUndefined(header) as SessionHeader;
}

function dropUndefined<T extends object>(
  value: T,
): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what is undefined has just been taken out
  return Object.fromEntries(
    Object.entries(value).filter(([, item]) => item !== undefined),
  ) as never;
}

/** The parts of an event that a journal's caller gives. */
export function noteOf(event: JournalEvent): EventNote | undefined {
  if (event.opens === undefined && event.closes === undefined) return undefined;
  return {
    ...(event.opens === undefined ? {} : { opens: event.opens }),
    ...(event.resultType === undefined ? {} : { resultType: event.resultType }),
    ...(event.closes === undefined ? {} : { closes: event.closes }),
  };
}
