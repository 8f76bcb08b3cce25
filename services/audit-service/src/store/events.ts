/** Queries of events. */
import type { AuditEvent } from '@gatehouse/kit/event-log';
import { sql, type Kysely, type SelectQueryBuilder } from 'kysely';

import type { EventFilter } from '../events/filter.js';
import type { Tables } from './tables.js';

/** An event and its JSON, both within bounds. */
export interface StorableEvent {
  readonly event: AuditEvent;
  readonly json: string;
}

export interface StoredEvent {
  readonly position: number;
  readonly timeMs: number;
  readonly json: string;
}

/** Names are compared and indexed up to this length; an index takes no longer values. */
export const maxIndexedChars = 256;

/**
 * Stores events that are not stored yet, in their order. One statement: all or none.
 * @returns ids of those that were new
 */
export async function insertEvents(
  database: Kysely<Tables>,
  events: readonly StorableEvent[],
  now: Date,
): Promise<Set<string>> {
  if (events.length === 0) return new Set();
  const column = <T>(read: (event: AuditEvent) => T) => events.map(({ event }) => read(event));
  const { rows } = await sql<{ id: string }>`
    insert into audit_event
      (id, type, time, session_id, sequence, actor_kind, actor_name, target_name, outcome, search_text, event, stored_at)
    select id, type, time, session_id, sequence, actor_kind, actor_name, target_name, outcome, search_text, event, ${now}
    from unnest(
      ${column((event) => event.id)}::text[],
      ${column((event) => event.type)}::text[],
      ${column((event) => event.time)}::timestamptz[],
      ${column((event) => event.sessionId ?? null)}::text[],
      ${column((event) => event.sequence ?? null)}::integer[],
      ${column((event) => event.actor.kind)}::text[],
      ${column((event) => indexed(event.actor.name))}::text[],
      ${column((event) => (event.target === undefined ? null : indexed(event.target.name)))}::text[],
      ${column((event) => event.outcome)}::text[],
      ${column(searchText)}::text[],
      ${events.map(({ json }) => json)}::text[]
    ) with ordinality as new
      (id, type, time, session_id, sequence, actor_kind, actor_name, target_name, outcome, search_text, event, number)
    order by number
    on conflict do nothing
    returning id`.execute(database);
  return new Set(rows.map((row) => row.id));
}

/** Which of these ids are stored. */
export async function findEventIds(
  database: Kysely<Tables>,
  ids: readonly string[],
): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await database
    .selectFrom('audit_event')
    .select('id')
    .where('id', 'in', ids)
    .execute();
  return new Set(rows.map((row) => row.id));
}

/** The last position that is taken; 0 in an empty store. */
export async function newestPosition(database: Kysely<Tables>): Promise<number> {
  const row = await database
    .selectFrom('audit_event')
    .select(({ fn }) => fn.max('position').as('position'))
    .executeTakeFirst();
  return Number(row?.position ?? 0);
}

/** Events by time, newest first, behind a place in that order. */
export async function findNewest(
  database: Kysely<Tables>,
  query: {
    filter: EventFilter;
    before?: { timeMs: number; position: number } | undefined;
    limit: number;
  },
): Promise<StoredEvent[]> {
  let select = applyFilter(selectEvents(database), query.filter);
  if (query.before !== undefined) {
    const { timeMs, position } = query.before;
    select = select.where(
      sql<boolean>`(time, position) < (${new Date(timeMs)}, ${position}::bigint)`,
    );
  }
  return decodeRows(
    await select.orderBy('time', 'desc').orderBy('position', 'desc').limit(query.limit).execute(),
  );
}

/** Events in stored order, after a position and up to another. */
export async function findStored(
  database: Kysely<Tables>,
  query: { filter: EventFilter; after: number; upTo?: number; limit: number },
): Promise<StoredEvent[]> {
  let select = applyFilter(selectEvents(database), query.filter).where(
    'position',
    '>',
    query.after,
  );
  if (query.upTo !== undefined) select = select.where('position', '<=', query.upTo);
  return decodeRows(await select.orderBy('position').limit(query.limit).execute());
}

function selectEvents(database: Kysely<Tables>) {
  return database.selectFrom('audit_event').select(['position', 'time', 'event']);
}

type EventQuery<O> = SelectQueryBuilder<Tables, 'audit_event', O>;

function applyFilter<O>(query: EventQuery<O>, filter: EventFilter): EventQuery<O> {
  let select = query;
  if (filter.actorName !== undefined)
    select = select.where('actor_name', '=', indexed(filter.actorName));
  if (filter.owner !== undefined)
    select = select
      .where('actor_kind', '=', 'user')
      .where('actor_name', '=', indexed(filter.owner.name))
      .where('time', '>=', filter.owner.since);
  if (filter.targetName !== undefined)
    select = select.where('target_name', '=', indexed(filter.targetName));
  if (filter.sessionId !== undefined) select = select.where('session_id', '=', filter.sessionId);
  if (filter.outcome !== undefined) select = select.where('outcome', '=', filter.outcome);
  return applyRanges(select, filter);
}

function applyRanges<O>(query: EventQuery<O>, filter: EventFilter): EventQuery<O> {
  let select = query;
  if (filter.typePattern !== undefined) {
    const isExact = !filter.typePattern.includes('*');
    select = isExact
      ? select.where('type', '=', filter.typePattern)
      : select.where('type', 'like', globToLike(filter.typePattern));
  }
  if (filter.from !== undefined) select = select.where('time', '>=', filter.from);
  if (filter.to !== undefined) select = select.where('time', '<', filter.to);
  if (filter.text !== undefined)
    select = select.where(sql<boolean>`strpos(search_text, ${filter.text.toLowerCase()}) > 0`);
  return select;
}

function globToLike(glob: string): string {
  return glob.replace(/[\\%_]/g, String.raw`\$&`).replaceAll('*', '%');
}

function indexed(name: string): string {
  return name.slice(0, maxIndexedChars).toWellFormed();
}

function decodeRows(
  rows: readonly { position: number; time: Date; event: string }[],
): StoredEvent[] {
  return rows.map(({ position, time, event }) => ({
    position,
    timeMs: time.getTime(),
    json: event,
  }));
}

/** All texts of an event, in lower case, a line each. */
function searchText(event: AuditEvent): string {
  const texts: string[] = [];
  collectTexts(event, texts);
  return texts.join('\n').toLowerCase();
}

function collectTexts(value: unknown, texts: string[]): void {
  if (typeof value === 'string') texts.push(value);
  else if (typeof value === 'number') texts.push(String(value));
  else if (typeof value === 'object' && value !== null)
    for (const item of Object.values(value)) collectTexts(item, texts);
}
