/** Ends what a process left open when it died: open intents, then recordings, then the session itself (D22, D23). */
import type { EventWriter } from './event-writer.js';
import type { OpenRecordings } from './recordings.js';
import { recoveredEventId, type OpenSessions, type SessionState } from './sessions.js';
import type { JournalEvent } from './types.js';

export interface RecoveryParts {
  readonly sessions: OpenSessions;
  readonly openRecordings: OpenRecordings;
  readonly writer: EventWriter;
  closeSession(state: SessionState): void;
}

/**
 * Writes what is missing. An interruption is harmless: what was written is found by the next attempt, and ids are made
 * from what they stand for.
 * @returns how many sessions were ended, and how many events did not fit
 */
export function endLostSessions(parts: RecoveryParts): { ended: number; lost: number } {
  const recordings = new Set(parts.sessions.all().flatMap((state) => [...state.recordings]));
  parts.openRecordings.keep(recordings);
  let lost = 0;
  let ended = 0;
  for (const state of parts.sessions.all()) {
    for (const [what, event] of missingEvents(state, parts.openRecordings)) {
      const id = recoveredEventId(state.header.sessionId, what);
      if (parts.writer.writeNumbered(state, event, { isVital: true, id }) === undefined) lost += 1;
    }
    if (state.started) ended += 1;
    parts.closeSession(state);
  }
  return { ended, lost };
}

function missingEvents(
  state: SessionState,
  openRecordings: OpenRecordings,
): [what: string, event: JournalEvent][] {
  const chunkTimes = Array.from(state.recordings, (id) => openRecordings.get(id)?.lastMs ?? 0);
  const lastSeenAt = new Date(Math.max(state.lastMs, ...chunkTimes)).toISOString();
  const reason = 'proxy_lost';
  const missing: [string, JournalEvent][] = [];
  for (const [word, { resultType, data }] of state.intents) {
    const event: JournalEvent = {
      type: resultType,
      outcome: 'failure',
      reason,
      data: { ...data, synthesised: true },
      closes: word,
    };
    missing.push([`${resultType} ${word} ${state.sequence}`, event]);
  }
  for (const recordingId of state.recordings) {
    const {
      chunks = 0,
      bytes = 0,
      durationMs = 0,
      head = '0'.repeat(64),
    } = openRecordings.get(recordingId) ?? {};
    const data = { recordingId, chunks, bytes, durationMs, head, synthesised: true };
    missing.push([
      `recording.completed ${recordingId}`,
      { type: 'recording.completed', outcome: 'failure', reason, data },
    ]);
  }
  if (state.started)
    missing.push([
      'session.ended',
      {
        type: 'session.ended',
        outcome: 'failure',
        reason,
        data: { synthesised: true, lastSeenAt },
      },
    ]);
  return missing;
}
