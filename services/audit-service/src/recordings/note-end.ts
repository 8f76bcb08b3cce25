/** The end of a recording arrives as an event, in any order with its chunks. */
import type { AuditEvent } from '@gatehouse/kit/event-log';
import type { Kysely } from 'kysely';
import { z } from 'zod';

import { ensureRecording, updateEnd } from '../store/recordings.js';
import type { Tables } from '../store/tables.js';

const endSchema = z.object({
  recordingId: z.string().regex(/^rec_[0-9a-f]{32}$/),
  chunks: z.int().min(0).max(0x7fff_ffff),
  durationMs: z.int().min(0),
  head: z.string().max(64),
});

/** Notes those of the events that are ends of recordings; other events, and ends that are not understood, are passed over. */
export async function noteRecordingEnds(
  database: Kysely<Tables>,
  events: readonly AuditEvent[],
): Promise<void> {
  for (const event of events) {
    if (event.type !== 'recording.completed' || event.sessionId === undefined) continue;
    const end = endSchema.safeParse(event.data).data;
    if (end === undefined) continue;
    const sessionId = await ensureRecording(database, {
      recordingId: end.recordingId,
      sessionId: event.sessionId,
      protocol: '',
      actorKind: event.actor.kind,
      actorName: event.actor.name,
      targetName: event.target?.name ?? '',
    });
    if (sessionId === event.sessionId) await updateEnd(database, end.recordingId, end);
  }
}
