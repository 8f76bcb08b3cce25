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
  data: z.record(z.string(), z.unknown()).nullish(),
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

/** What of an event's data is worth a place in a line, in this order, and the word before it. */
const tellingFields: readonly (readonly [field: string, word: string])[] = [
  ['principal', 'as'],
  ['kind', ''],
  ['command', ''],
  ['statement', ''],
  ['path', ''],
  ['exit_code', 'exit'],
  ['signal', 'signal'],
  ['name', ''],
];
const maxFieldChars = 60;

/** `2026-11-26 12:00:01  session.denied  alice → web-2  denied: no_role, as root` */
export function formatEventLine(event: AuditEvent): string {
  const time = event.time.replace('T', ' ').slice(0, 19);
  const who = event.actor?.name ?? event.actor?.kind ?? '-';
  const where = event.target?.name ?? '';
  const words = [
    time,
    event.type.padEnd(22),
    `${who}${where === '' ? '' : ` → ${where}`}`.padEnd(20),
    describe(event),
  ];
  return printable(words.join('  ').trimEnd());
}

/** How it ended where that is not as it should be, and what it was about. */
function describe({ outcome, reason, data }: AuditEvent): string {
  const end = [outcome === 'success' ? '' : outcome, reason].filter(Boolean).join(': ');
  const told = tellingFields.flatMap(([field, word]) => {
    const value = data?.[field];
    if (typeof value !== 'string' && typeof value !== 'number') return [];
    const text = String(value);
    const cut = text.length > maxFieldChars ? `${text.slice(0, maxFieldChars - 1)}…` : text;
    return [word === '' ? cut : `${word} ${cut}`];
  });
  return [end, told.join(' ')].filter(Boolean).join(', ');
}
