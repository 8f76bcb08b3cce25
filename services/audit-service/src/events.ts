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
} as const;

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
  const traceId = currentTraceId();
  return {
    id: createId('evt', options.nowMs),
    type: 'recording.played',
    time: new Date(options.nowMs).toISOString(),
    cluster: options.cluster,
    actor: options.actor,
    outcome: 'success',
    ...(traceId === undefined ? {} : { traceId }),
    data: {
      recordingId: options.recording.id,
      recordedSession: options.recording.sessionId,
      owner: options.recording.actorName,
    },
  };
}
