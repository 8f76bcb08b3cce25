/** Audit events that the host itself writes. Those inside a session belong to the protocols. */
import type { EventTable } from '@gatehouse/protocol-api';
import { z } from 'zod';

const errorData = z.object({
  message: z.string().describe('what the person was told'),
  errorId: z.string().describe('err_…, also in the log'),
});

const synthesised = z
  .boolean()
  .optional()
  .describe('written by somebody else, as the proxy was lost');

export const events = {
  'connection.refused': {
    description: 'Somebody was turned away before anything was decided about a target.',
    data: errorData
      .partial()
      .extend({ protocol: z.string().optional(), transport: z.string().optional() }),
  },
  'session.denied': {
    description: 'A person was known and the decision was no.',
    data: errorData.extend({
      protocol: z.string(),
      principal: z.string(),
      role: z.string().optional().describe('the role whose deny block it was'),
    }),
  },
  'session.connect_failed': {
    description:
      'The decision was yes, but the target could not be reached or refused, or the session was ended before.',
    data: errorData.extend({
      protocol: z.string(),
      principal: z.string(),
      tunnel: z.string().optional(),
    }),
  },
  'session.started': {
    description: 'A session stands: the target is reached and has let the person in.',
    data: z.object({
      protocol: z.string(),
      principal: z.string(),
      database: z.string().optional().describe('of a target with several of them'),
      mode: z.enum(['inspected', 'relayed']),
      transport: z.string(),
      tunnel: z.string().describe('the tunnel replica, srv_…'),
      roles: z.array(z.string()).describe('the roles that allowed it'),
      expires: z.string().describe('when it ends at the latest'),
      legacy: z
        .boolean()
        .optional()
        .describe('true where the target was reached by algorithms that only its document permits'),
    }),
  },
  'session.ended': {
    description: 'The last event of a session.',
    data: z.object({
      durationMs: z.number().optional(),
      bytesIn: z.number().optional().describe('from the client'),
      bytesOut: z.number().optional().describe('to the client'),
      message: z.string().optional(),
      by: z.string().optional().describe('the administrator who ended it'),
      synthesised,
      lastSeenAt: z
        .string()
        .optional()
        .describe('where synthesised: when the session last wrote something'),
    }),
  },
  'recording.completed': {
    description: 'A recording has all its chunks.',
    data: z.object({
      recordingId: z.string(),
      chunks: z.number(),
      bytes: z.number(),
      durationMs: z.number(),
      head: z.string().describe('SHA-256 of the last chunk, which chains to all before'),
      synthesised,
    }),
  },
  'recording.failed': {
    description: 'A recording stopped before its end.',
    data: z.object({ recordingId: z.string(), message: z.string() }),
  },
  'limit.reached': {
    description: 'A limit refused something.',
    data: z.object({ limit: z.string(), value: z.number() }),
  },
} as const satisfies EventTable;
