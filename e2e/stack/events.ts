/** Audit events as tests read them: through `gate audit search`, by whoever may. */
import { readFileSync } from 'node:fs';

import { z } from 'zod';

import type { Person } from './person.js';
import { eventually } from './run.js';

export interface Event {
  readonly id: string;
  readonly type: string;
  readonly time: string;
  readonly sessionId?: string;
  readonly sequence?: number;
  readonly traceId?: string;
  readonly actor: {
    kind: string;
    name: string;
    roles?: string[];
    loginId?: string;
    address?: string;
  };
  readonly target?: { kind: string; name: string; agent?: string; labels?: Record<string, string> };
  readonly outcome: string;
  readonly reason?: string;
  readonly data: Record<string, unknown>;
}

export interface EventQuery {
  readonly type?: string;
  readonly user?: string;
  readonly target?: string;
  readonly session?: string;
  readonly outcome?: string;
  readonly from?: string;
  readonly text?: string;
}

/** All that match, however many, oldest first. */
export async function exportEvents(reader: Person, query: EventQuery): Promise<Event[]> {
  const flags = Object.entries({ ...query }).flatMap(([name, value]) => [`--${name}`, value]);
  const result = await reader.gate(['audit', 'export', ...flags], { timeoutMs: 120_000 });
  if (result.code !== 0) throw new Error(result.stderr);
  const lines = result.stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as Event);
}

/** Newest first. */
export async function searchEvents(
  reader: Person,
  query: EventQuery,
  limit = 500,
): Promise<Event[]> {
  const flags = Object.entries({ ...query }).flatMap(([name, value]) => [`--${name}`, value]);
  const { events } = await reader.json<{ events: Event[] }>([
    'audit',
    'search',
    '--limit',
    String(limit),
    ...flags,
  ]);
  return events;
}

/** Waits until an event matches; fails after 5 s (the contract's time). */
export async function waitForEvent(
  reader: Person,
  query: EventQuery,
  match: (event: Event) => boolean = () => true,
  timeoutMs = 8_000,
): Promise<Event> {
  return eventually(
    `event ${JSON.stringify(query)}`,
    async () => (await searchEvents(reader, query)).find(match),
    timeoutMs,
  );
}

/** A session's events in order. */
export async function sessionEvents(reader: Person, sessionId: string): Promise<Event[]> {
  const events = await searchEvents(reader, { session: sessionId });
  return events
    .filter(({ sequence }) => sequence !== undefined)
    .sort((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0));
}

/** Waits for the end of the newest session of somebody, and gives all its events. */
export async function lastSession(
  reader: Person,
  query: { user: string; target: string; from: string },
): Promise<Event[]> {
  const ended = await waitForEvent(reader, { ...query, type: 'session.ended' });
  return sessionEvents(reader, ended.sessionId ?? '');
}

/** Which of these events break the schema that docs/events has of their type, and how. */
export function misfits(events: readonly Event[]): string[] {
  return events.flatMap(({ type, data }) => {
    const file = new URL(`../../docs/events/${type}.schema.json`, import.meta.url);
    const schema = JSON.parse(readFileSync(file, 'utf8')) as Parameters<typeof z.fromJSONSchema>[0];
    const { error } = z.fromJSONSchema(schema).safeParse(data);
    return error === undefined ? [] : [`${type} ${JSON.stringify(data)}: ${error.message}`];
  });
}
