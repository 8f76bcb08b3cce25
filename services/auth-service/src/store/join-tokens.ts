/** One-use join tokens of agents. */
import type { Db } from './store.js';

export interface StoredJoinToken {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  /** Empty: none. */
  readonly group: string;
  readonly createdBy: string;
  readonly expiresAtMs: number;
  readonly isUsed: boolean;
}

interface Row {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  readonly group_name: string;
  readonly created_by: string;
  readonly expires_at: Date;
  readonly used_at: Date | null;
}

function decode(row: Row): StoredJoinToken {
  return {
    id: row.id,
    labels: row.labels,
    names: row.names,
    group: row.group_name,
    createdBy: row.created_by,
    expiresAtMs: row.expires_at.getTime(),
    isUsed: row.used_at !== null,
  };
}

export async function insertJoinToken(
  db: Db,
  token: Omit<StoredJoinToken, 'isUsed'> & { readonly tokenHash: Buffer; readonly now: Date },
): Promise<void> {
  await db
    .insertInto('join_token')
    .values({
      id: token.id,
      token_hash: token.tokenHash,
      labels: JSON.stringify(token.labels),
      names: JSON.stringify(token.names),
      group_name: token.group,
      created_by: token.createdBy,
      created_at: token.now,
      expires_at: new Date(token.expiresAtMs),
      used_at: null,
    })
    .execute();
}

export async function findJoinToken(
  db: Db,
  tokenHash: Buffer,
): Promise<StoredJoinToken | undefined> {
  const row = await db
    .selectFrom('join_token')
    .selectAll()
    .where('token_hash', '=', tokenHash)
    .executeTakeFirst();
  return row === undefined ? undefined : decode(row);
}

/** Takes an unused token; false where somebody was faster. */
export async function takeJoinToken(db: Db, id: string, now: Date): Promise<boolean> {
  const query = db
    .updateTable('join_token')
    .set({ used_at: now })
    .where('id', '=', id)
    .where('used_at', 'is', null);
  return (await query.executeTakeFirst()).numUpdatedRows === 1n;
}

/** Tokens that can still be used, by id. */
export async function listJoinTokens(db: Db, now: Date): Promise<StoredJoinToken[]> {
  const query = db
    .selectFrom('join_token')
    .selectAll()
    .where('used_at', 'is', null)
    .where('expires_at', '>', now);
  return (await query.orderBy('id').execute()).map(decode);
}

export async function removeJoinToken(db: Db, id: string): Promise<boolean> {
  return (
    (await db.deleteFrom('join_token').where('id', '=', id).executeTakeFirst()).numDeletedRows ===
    1n
  );
}

/** Used and expired ones are kept for a while, so that the event can say which it was. */
export async function pruneJoinTokens(db: Db, before: Date): Promise<void> {
  await db.deleteFrom('join_token').where('expires_at', '<', before).execute();
}
