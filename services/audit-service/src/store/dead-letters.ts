/** Queries of dead letters. */
import { sql, type Insertable, type Kysely, type Selectable } from 'kysely';

import type { DeadLetterTable, Tables } from './tables.js';

export type DeadLetterRow = Selectable<DeadLetterTable>;

/** Which of these ids are noted. */
export async function findDeadLetterIds(
  database: Kysely<Tables>,
  ids: readonly string[],
): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await database
    .selectFrom('audit_dead_letter')
    .select('id')
    .where('id', 'in', ids)
    .execute();
  return new Set(rows.map(({ id }) => id));
}

/** Notes each once. */
export async function insertDeadLetters(
  database: Kysely<Tables>,
  rows: readonly Insertable<DeadLetterTable>[],
): Promise<void> {
  await database
    .insertInto('audit_dead_letter')
    .values(rows)
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute();
}

export interface DeadLetterQuery {
  /** Those too that were put back on their topic. */
  readonly withReplayed: boolean;
  readonly after?: { readonly deadMs: number; readonly id: string } | undefined;
  readonly limit: number;
}

/** Oldest first, behind a place in that order; without their values. */
export async function findDeadLetters(
  database: Kysely<Tables>,
  { withReplayed, after, limit }: DeadLetterQuery,
): Promise<Omit<DeadLetterRow, 'value' | 'headers'>[]> {
  let select = database
    .selectFrom('audit_dead_letter')
    .select([
      'id',
      'topic',
      'partition',
      'topic_position',
      'reason',
      'key',
      'value_bytes',
      'dead_at',
      'replayed_at',
      'replayed_by',
    ]);
  if (!withReplayed) select = select.where('replayed_at', 'is', null);
  if (after !== undefined) select = select.where(behind(after));
  return select.orderBy('dead_at').orderBy('id').limit(limit).execute();
}

export interface WaitingQuery {
  readonly reasons: readonly string[];
  /** Dead since then. */
  readonly since: Date;
  readonly after?: DeadLetterQuery['after'];
  readonly limit: number;
}

/** Those with one of these reasons that were not put back, whole, oldest first, behind a place in that order. */
export async function findWaiting(
  database: Kysely<Tables>,
  { reasons, since, after, limit }: WaitingQuery,
): Promise<DeadLetterRow[]> {
  let select = database
    .selectFrom('audit_dead_letter')
    .selectAll()
    .where('replayed_at', 'is', null)
    .where('dead_at', '>=', since)
    .where(sql<boolean>`reason = any(${reasons}::text[])`);
  if (after !== undefined) select = select.where(behind(after));
  return select.orderBy('dead_at').orderBy('id').limit(limit).execute();
}

function behind({ deadMs, id }: NonNullable<DeadLetterQuery['after']>) {
  return sql<boolean>`(dead_at, id) > (${new Date(deadMs)}, ${id})`;
}

/** Whole. */
export async function findDeadLetter(
  database: Kysely<Tables>,
  id: string,
): Promise<DeadLetterRow | undefined> {
  return database
    .selectFrom('audit_dead_letter')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
}

/** Notes that one was put back, on its topic or into the store. */
export async function markReplayed(
  database: Kysely<Tables>,
  id: string,
  by: { name: string; at: Date },
): Promise<void> {
  await database
    .updateTable('audit_dead_letter')
    .set({ replayed_at: by.at, replayed_by: by.name })
    .where('id', '=', id)
    .execute();
}

/** Forgets those from before `cutoff`, which is at least seven days ago. */
export async function dropDeadLetters(database: Kysely<Tables>, cutoff: Date): Promise<void> {
  await sql`select audit_dead_letter_drop(${cutoff})`.execute(database);
}
