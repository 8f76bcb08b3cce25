/** Sessions whose start is stored and whose end is not. */
import type { AuditEvent } from '@gatehouse/kit/event-log';
import { sql, type Kysely } from 'kysely';

import type { Tables } from './tables.js';

/** Part of storing a batch, so that what is open is always what the stored events say. */
export async function noteSessions(
  database: Kysely<Tables>,
  events: readonly AuditEvent[],
): Promise<void> {
  const ended = idsOf(events, 'session.ended');
  const rows = events.flatMap(({ type, sessionId, time }) =>
    type === 'session.started' && sessionId !== undefined && !ended.includes(sessionId)
      ? [{ session_id: sessionId, started_at: new Date(time) }]
      : [],
  );
  if (rows.length > 0)
    await database
      .insertInto('audit_open_session')
      .values(rows)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  if (ended.length > 0)
    await sql`delete from audit_open_session where session_id = any(${ended}::text[])`.execute(
      database,
    );
}

function idsOf(events: readonly AuditEvent[], wanted: string): string[] {
  return events.flatMap(({ type, sessionId }) =>
    type === wanted && sessionId !== undefined ? [sessionId] : [],
  );
}

/** Ids of those that began before a time, behind an id, in the order of their ids. */
export async function findOpenSessions(
  database: Kysely<Tables>,
  query: { readonly before: Date; readonly afterId: string; readonly limit: number },
): Promise<string[]> {
  const rows = await database
    .selectFrom('audit_open_session')
    .select('session_id')
    .where('started_at', '<', query.before)
    .where('session_id', '>', query.afterId)
    .orderBy('session_id')
    .limit(query.limit)
    .execute();
  return rows.map((row) => row.session_id);
}

export interface SessionSummary {
  /** Its first event. */
  readonly started: string;
  readonly hasEnded: boolean;
  readonly lastSequence: number;
  readonly lastAt: Date;
}

/** Undefined: nothing is stored any more. */
export async function summarizeSession(
  database: Kysely<Tables>,
  sessionId: string,
): Promise<SessionSummary | undefined> {
  const { rows } = await sql<Omit<SessionSummary, 'started'> & { started: string | null }>`
    select max(event) filter (where type = 'session.started') as started,
      bool_or(type = 'session.ended') as "hasEnded", max(sequence) as "lastSequence", max(time) as "lastAt"
    from audit_event where session_id = ${sessionId}`.execute(database);
  const [row] = rows;
  return row === undefined || row.started === null ? undefined : { ...row, started: row.started };
}

/** A session that has nothing stored any more, or its end. */
export async function forgetOpenSession(
  database: Kysely<Tables>,
  sessionId: string,
): Promise<void> {
  await database.deleteFrom('audit_open_session').where('session_id', '=', sessionId).execute();
}
