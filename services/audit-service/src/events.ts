/** The audit events of audit-service itself. */
import type { AuditActor, AuditEvent } from '@gatehouse/kit/event-log';
import { createId } from '@gatehouse/kit/ids';
import { currentTraceId } from '@gatehouse/kit/telemetry';
import { z } from 'zod';

export const auditEvents = {
  'recording.played': {
    description: 'Somebody read a recording.',
    data: z.object({
      recordingId: z.string(),
      recordedSession: z.string().describe('ses_… that was recorded'),
      owner: z.string().describe('who was recorded'),
    }),
  },
  'dead_letter.replayed': {
    description: 'Somebody put a record that could not be stored back on its topic.',
    data: z.object({
      deadLetter: z.string().describe('topic/partition/position of the record'),
    }),
  },
} as const;

/** Somebody puts a dead letter back. */
export function deadLetterReplayed(options: {
  readonly cluster: string;
  readonly nowMs: number;
  readonly actor: AuditActor;
  readonly id: string;
}): AuditEvent {
  const { cluster, nowMs, actor, id } = options;
  return compose({ cluster, nowMs, actor, type: 'dead_letter.replayed', data: { deadLetter: id } });
}

/** Somebody reads a recording. */
export function recordingPlayed(options: {
  readonly cluster: string;
  readonly nowMs: number;
  readonly actor: AuditActor;
  readonly recording: {
    readonly id: string;
    readonly actorName: string;
    readonly sessionId: string;
  };
}): AuditEvent {
  const { cluster, nowMs, actor, recording } = options;
  return compose({
    cluster,
    nowMs,
    actor,
    type: 'recording.played',
    data: {
      recordingId: recording.id,
      recordedSession: recording.sessionId,
      owner: recording.actorName,
    },
  });
}

function compose(options: {
  readonly cluster: string;
  readonly nowMs: number;
  readonly actor: AuditActor;
  readonly type: keyof typeof auditEvents;
  readonly data: AuditEvent['data'];
}): AuditEvent {
  const { cluster, nowMs, actor, type, data } = options;
  const traceId = currentTraceId();
  return {
    id: createId('evt', nowMs),
    type,
    time: new Date(nowMs).toISOString(),
    cluster,
    actor,
    outcome: 'success',
    ...(traceId === undefined ? {} : { traceId }),
    data,
  };
}
