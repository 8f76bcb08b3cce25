/** Counters of failures. A level falls with time; the number of keys is bounded by those who make them. */
import { sql } from 'kysely';

import type { Db } from './store.js';

export interface ThrottleState {
  /** Failures not yet forgotten. */
  readonly level: number;
  readonly blockedUntilMs: number | undefined;
}

/** The state now, with what has been forgotten since taken off. */
export async function readThrottle(
  db: Db,
  key: string,
  at: { readonly nowMs: number; readonly forgetPerMs: number },
): Promise<ThrottleState> {
  const row = await db.selectFrom('throttle').selectAll().where('key', '=', key).executeTakeFirst();
  if (row === undefined) return { level: 0, blockedUntilMs: undefined };
  const forgotten = Math.max(0, at.nowMs - row.updated_at.getTime()) * at.forgetPerMs;
  return {
    level: Math.max(0, row.level - forgotten),
    blockedUntilMs: row.blocked_until?.getTime(),
  };
}

/** Counts one failure, atomically over all replicas, and gives the new level. */
export async function countFailure(
  db: Db,
  key: string,
  at: { readonly nowMs: number; readonly forgetPerMs: number },
): Promise<number> {
  const now = new Date(at.nowMs);
  const row = await db
    .insertInto('throttle')
    .values({ key, level: 1, updated_at: now, blocked_until: null })
    .onConflict((conflict) =>
      conflict.column('key').doUpdateSet({
        level: sql<number>`greatest(0, throttle.level - greatest(0, extract(epoch from (excluded.updated_at - throttle.updated_at))) * 1000 * ${at.forgetPerMs}::double precision) + 1`,
        updated_at: now,
      }),
    )
    .returning('level')
    .executeTakeFirstOrThrow();
  return row.level;
}

/** Blocks a key; true for the one who did it first. */
export async function blockKey(
  db: Db,
  key: string,
  times: { readonly until: Date; readonly now: Date },
): Promise<boolean> {
  const result = await db
    .updateTable('throttle')
    .set({ blocked_until: times.until, level: 0 })
    .where('key', '=', key)
    .where((where) =>
      where.or([where('blocked_until', 'is', null), where('blocked_until', '<=', times.now)]),
    )
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

export async function clearThrottle(db: Db, key: string): Promise<void> {
  await db.deleteFrom('throttle').where('key', '=', key).execute();
}

/** Forgets what no longer matters. */
export async function pruneThrottle(db: Db, before: Date): Promise<void> {
  const query = db.deleteFrom('throttle').where('updated_at', '<', before);
  await query
    .where((where) =>
      where.or([where('blocked_until', 'is', null), where('blocked_until', '<', before)]),
    )
    .execute();
}
