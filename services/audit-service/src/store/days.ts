/**
 * Days of the store: a partition of `audit_event` each, in UTC. Made and dropped by functions of the database, because
 * the service's own user may do neither.
 */
import { sql, type Kysely } from 'kysely';

import type { Tables } from './tables.js';

/** Makes the partition of a day, `YYYY-MM-DD`, where it is missing. */
export async function makeDay(database: Kysely<Tables>, day: string): Promise<void> {
  await sql`select audit_event_make_day(${day}::date)`.execute(database);
}

/** Drops the days that lie wholly before `cutoff`, which is at least seven days ago. @returns how many */
export async function dropDaysBefore(database: Kysely<Tables>, cutoff: Date): Promise<number> {
  const { rows } = await sql<{ dropped: number }>`
    select audit_event_drop_before(${cutoff}) as dropped`.execute(database);
  return rows[0]?.dropped ?? 0;
}
