/** Queries of events. */
import type { AuditEvent } from '@gatehouse/kit/event-log';
import { idTime } from '@gatehouse/kit/ids';
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
 * Stores new events in their order, all or none. The caller holds the store's lock and has seen that none is stored yet.
 * One parameter of JSON costs half of what arrays cost, and is nearly as quick as COPY (docs/decisions/0007).
 * @returns the position of the last one
 */
export async function insertEvents(
  database: Kysely<Tables>,
  events: readonly StorableEvent[],
  now: Date,
): Promise<number> {
  const { rows } = await sql<{ newest: number }>`
    with inserted as (
      insert into audit_event
        (id, type, time, session_id, sequence, actor_kind, actor_name, target_name, outcome, search_text, event, stored_at)
      select id, type, time, "sessionId", sequence, "actorKind", "actorName", "targetName", outcome, search, event, ${now}
      from json_to_recordset(${JSON.stringify(events.map(toRow))}::json) as new (
        id text, type text, time timestamptz, "sessionId" text, sequence integer, "actorKind" text, "actorName" text,
        "targetName" text, outcome text, search text, event text)
      returning position)
    select max(position) as newest from inserted`.execute(database);
  return rows[0]?.newest ?? 0;
}

function toRow({ event, json }: StorableEvent): Record<string, unknown> {
  const { id, type, time, sessionId, sequence, actor, target, outcome } = event;
  return {
    id,
    type,
    time,
    sessionId,
    sequence,
    outcome,
    actorKind: actor.kind,
    actorName: indexed(actor.name),
    targetName: target && indexed(target.name),
    search: searchText(event),
    event: json,
  };
}

/** A place within a session: it holds one event. */
export function sequenceKey({ sessionId, sequence }: Pick<AuditEvent, 'sessionId' | 'sequence'>) {
  return sessionId === undefined || sequence === undefined ? undefined : `${sessionId} ${sequence}`;
}

/** What the store has of some events. */
export interface Taken {
  /** Ids of those that are stored, under whatever time: an event that a recovery writes is written again later. */
  readonly ids: Set<string>;
  /**
   * Places of theirs that are taken, as {@link sequenceKey}. The end of a session whose proxy was lost holds none: the proxy may
   * come back with events that it had not sent yet.
   */
  readonly places: Set<string>;
}

/** One question for both: the caller holds the store's lock, and each answer waits for what else the process does. */
export async function findTaken(
  database: Kysely<Tables>,
  events: readonly AuditEvent[],
): Promise<Taken> {
  const numbered = events.filter((event) => sequenceKey(event) !== undefined);
  const { rows } = await sql<{ id: string | null; sessionId: string; sequence: number }>`
    select id, session_id as "sessionId", sequence from audit_event
    where id = any(${events.map(({ id }) => id)}::text[]) and time >= ${earliest(events, ({ id }) => id)}
    union all
    select null, session_id, sequence from audit_event
    where (session_id, sequence) in (
      select * from unnest(
        ${numbered.map(({ sessionId }) => sessionId)}::text[],
        ${numbered.map(({ sequence }) => sequence)}::integer[]))
      and time >= ${earliest(events, ({ id, sessionId = id }) => sessionId)}
      and not (type = 'session.ended' and event like '%"synthesised":true%')`.execute(database);
  return {
    ids: new Set(rows.flatMap(({ id }) => id ?? [])),
    places: new Set(rows.flatMap((row) => (row.id === null ? (sequenceKey(row) ?? []) : []))),
  };
}

/** By how much a clock may have been set back within what an id names. */
const clockSlackMs = 24 * 3_600_000;

/** Nothing that these ids are of is older: days before it need not be looked through. */
function earliest(events: readonly AuditEvent[], idOf: (event: AuditEvent) => string): Date {
  const times = events.map((event) => Math.min(idTime(idOf(event)), Date.parse(event.time)));
  return new Date(Math.min(...times) - clockSlackMs);
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
