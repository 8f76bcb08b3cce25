/** Sessions that were told to end; a proxy that was away for long hears of them in its snapshot (D27). */
import type { Db } from './store.js';

export interface SessionEndRecord {
  readonly id: string;
  readonly reason: string;
  /** Name of the person who ended it. */
  readonly by: string;
  /** No session of its login is open after this. */
  readonly until: Date;
}

export async function putSessionEnd(db: Db, end: SessionEndRecord): Promise<void> {
  const values = { id: end.id, reason: end.reason, ended_by: end.by, until: end.until };
  await db
    .insertInto('session_end')
    .values(values)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

export async function listSessionEnds(db: Db, now: Date): Promise<SessionEndRecord[]> {
  const query = db.selectFrom('session_end').selectAll().where('until', '>', now);
  const rows = await query.orderBy('id').execute();
  return rows.map(({ id, reason, ended_by: by, until }) => ({ id, reason, by, until }));
}

export async function pruneSessionEnds(db: Db, before: Date): Promise<void> {
  await db.deleteFrom('session_end').where('until', '<', before).execute();
}
