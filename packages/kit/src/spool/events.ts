/** Audit events that the spool itself writes. */
import { z } from 'zod';

export const spoolEvents = {
  'audit.event_trimmed': {
    description:
      'The event before it was too large for the topic; size and hash of the whole are kept.',
    data: z.object({
      eventId: z.string(),
      eventType: z.string(),
      fields: z
        .array(z.object({ path: z.string(), bytes: z.int(), sha256: z.string() }))
        .describe('what was cut, with size in bytes and SHA-256 of the whole'),
    }),
  },
  'audit.events_lost': {
    description: 'The spool was full or damaged: so many events were dropped between two times.',
    data: z.object({
      count: z.int(),
      from: z.string(),
      to: z.string(),
      exact: z.boolean().describe('false: at least so many'),
    }),
  },
} as const;
