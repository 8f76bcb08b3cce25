/** Changes in the order of their commits. */
import type { Db } from './store.js';
import type { JsonObject } from './tables.js';

export interface OutboxChange {
  readonly id: number;
  readonly kind: string;
  readonly name: string;
  /** Undefined: gone. */
  readonly body: JsonObject | undefined;
}

export async function listChanges(db: Db, afterId: number, limit: number): Promise<OutboxChange[]> {
  const query = db
    .selectFrom('outbox')
    .select(['id', 'kind', 'name', 'body'])
    .where('id', '>', afterId);
  const rows = await query.orderBy('id').limit(limit).execute();
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    name: row.name,
    body: row.body ?? undefined,
  }));
}

/** First and last id that are still kept; both 0 where there are none. */
export async function readOutboxBounds(db: Db): Promise<{ first: number; last: number }> {
  const row = await db
    .selectFrom('outbox')
    .select(({ fn }) => [fn.min('id').as('first'), fn.max('id').as('last')])
    .executeTakeFirst();
  return { first: Number(row?.first ?? 0), last: Number(row?.last ?? 0) };
}

/** Drops what is older, except the last row: its id is where new watchers start. */
export async function pruneOutbox(db: Db, before: Date): Promise<void> {
  const last = db.selectFrom('outbox').select(({ fn }) => fn.max('id').as('id'));
  await db.deleteFrom('outbox').where('created_at', '<', before).where('id', '<', last).execute();
}
