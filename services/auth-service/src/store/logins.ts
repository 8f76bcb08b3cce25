/** Logins: what all certificates of one `gate login` belong to. */
import type { Db } from './store.js';

export interface StoredLogin {
  readonly id: string;
  readonly user: string;
  readonly roles: readonly string[];
  readonly traits: Readonly<Record<string, readonly string[]>>;
  readonly requests: readonly string[];
  readonly mfaAtMs: number | undefined;
  readonly sourceIp: string | undefined;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly ended: { readonly reason: string } | undefined;
}

export async function insertLogin(db: Db, login: StoredLogin): Promise<void> {
  await db
    .insertInto('login')
    .values({
      id: login.id,
      user_name: login.user,
      roles: JSON.stringify(login.roles),
      traits: JSON.stringify(login.traits),
      requests: JSON.stringify(login.requests),
      mfa_at: login.mfaAtMs === undefined ? null : new Date(login.mfaAtMs),
      source_ip: login.sourceIp ?? null,
      created_at: new Date(login.createdAtMs),
      expires_at: new Date(login.expiresAtMs),
      ended_at: null,
      end_reason: null,
    })
    .execute();
}

export async function findLogin(db: Db, id: string): Promise<StoredLogin | undefined> {
  const row = await db.selectFrom('login').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    id: row.id,
    user: row.user_name,
    roles: row.roles,
    traits: row.traits,
    requests: row.requests,
    mfaAtMs: row.mfa_at?.getTime(),
    sourceIp: row.source_ip ?? undefined,
    createdAtMs: row.created_at.getTime(),
    expiresAtMs: row.expires_at.getTime(),
    ended: row.ended_at === null ? undefined : { reason: row.end_reason ?? 'logout' },
  };
}

/** Ends a login that has not ended; false where it had. */
export async function endLogin(
  db: Db,
  id: string,
  end: { at: Date; reason: string },
): Promise<boolean> {
  const query = db.updateTable('login').set({ ended_at: end.at, end_reason: end.reason });
  const result = await query.where('id', '=', id).where('ended_at', 'is', null).executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

export interface EndedLogin {
  readonly id: string;
  readonly reason: string;
  readonly until: Date;
}

/** Ended logins of which certificates may still be around. */
export async function listEndedLogins(db: Db, now: Date): Promise<EndedLogin[]> {
  const query = db.selectFrom('login').select(['id', 'end_reason', 'expires_at']);
  const rows = await query
    .where('ended_at', 'is not', null)
    .where('expires_at', '>', now)
    .orderBy('id')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    reason: row.end_reason ?? 'logout',
    until: row.expires_at,
  }));
}

/** Forgets logins of which no certificate can be valid any more. */
export async function pruneLogins(db: Db, before: Date): Promise<void> {
  await db.deleteFrom('login').where('expires_at', '<', before).execute();
  await db.deleteFrom('proxy_login').where('expires_at', '<', before).execute();
  await db.deleteFrom('target_proof').where('expires_at', '<', before).execute();
}

/** Ends all logins of a person; gives those that had not ended. */
export async function endUserLogins(
  db: Db,
  user: string,
  end: { at: Date; reason: string },
): Promise<EndedLogin[]> {
  const query = db.updateTable('login').set({ ended_at: end.at, end_reason: end.reason });
  const rows = await query
    .where('user_name', '=', user)
    .where('ended_at', 'is', null)
    .where('expires_at', '>', end.at)
    .returning(['id', 'expires_at'])
    .execute();
  return rows.map((row) => ({ id: row.id, reason: end.reason, until: row.expires_at }));
}
