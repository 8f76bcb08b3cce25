/** An event as a line for people. */
import { z } from 'zod';

import { printable } from '../output/text.js';

const eventSchema = z.looseObject({
  type: z.string(),
  time: z.string(),
  outcome: z.string().optional(),
  reason: z.string().nullish(),
  sessionId: z.string().nullish(),
  actor: z.looseObject({ name: z.string().nullish(), kind: z.string().nullish() }).nullish(),
  target: z.looseObject({ name: z.string().nullish(), kind: z.string().nullish() }).nullish(),
});

/** The fields of an event that lines for people are made of. */
export type AuditEvent = z.output<typeof eventSchema>;

/** An event that audit-service sent, as it is and as lines for people are made of. */
export interface ReceivedEvent {
  readonly raw: unknown;
  readonly event: AuditEvent;
}

/** Reads an event; `raw` keeps the order of its fields. */
export function parseEvent(json: string): ReceivedEvent {
  const raw: unknown = JSON.parse(json);
  return { raw, event: eventSchema.parse(raw) };
}

/** `12:00:01  session.denied  alice → web-2  denied: no_role` */
export function formatEventLine(event: AuditEvent): string {
  const time = event.time.replace('T', ' ').slice(0, 19);
  const who = event.actor?.name ?? event.actor?.kind ?? '-';
  const where = event.target?.name ?? '';
  const end = describeEnd(event);
  const words = [
    time,
    event.type.padEnd(24),
    `${who}${where === '' ? '' : ` → ${where}`}`.padEnd(24),
    end,
  ];
  return printable(words.join('  ').trimEnd());
}

/** Only what is not as it should be. */
function describeEnd({ outcome, reason }: AuditEvent): string {
  const words = [outcome === 'success' ? '' : outcome, reason ?? ''];
  return words.filter((text) => text !== undefined && text !== '').join(': ');
}
