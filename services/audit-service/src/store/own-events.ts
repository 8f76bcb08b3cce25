/** Events of audit-service itself that the event log does not have yet. */
import type { Db } from './tables.js';

export interface OwnEvent {
  readonly id: string;
  /** JSON. */
  readonly event: string;
}

export async function putOwnEvent(database: Db, event: OwnEvent): Promise<void> {
  await database.insertInto('audit_own_event').values(event).execute();
}

/** Oldest first: their ids begin with their time. */
export async function listOwnEvents(database: Db, limit: number): Promise<OwnEvent[]> {
  return database
    .selectFrom('audit_own_event')
    .select(['id', 'event'])
    .orderBy('id')
    .limit(limit)
    .execute();
}

export async function removeOwnEvents(database: Db, ids: readonly string[]): Promise<void> {
  await database.deleteFrom('audit_own_event').where('id', 'in', ids).execute();
}
