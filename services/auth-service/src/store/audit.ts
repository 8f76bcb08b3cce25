/** Audit events on their way to the log. */
import type { Db } from './store.js';

export interface WaitingAudit {
  readonly id: number;
  readonly logKey: string;
  readonly event: string;
}

export async function listWaitingAudits(db: Db, limit: number): Promise<WaitingAudit[]> {
  const rows = await db
    .selectFrom('audit_row')
    .select(['id', 'log_key', 'event'])
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map((row) => ({ id: row.id, logKey: row.log_key, event: row.event }));
}

/** Forgets events that the log has acknowledged. */
export async function removeAudits(db: Db, ids: readonly number[]): Promise<void> {
  if (ids.length > 0) await db.deleteFrom('audit_row').where('id', 'in', ids).execute();
}
