/** Proofs that proxies have shown for people (D21). */
import type { Db } from './store.js';

/** Takes an SSH session id once: false where it was shown before. */
export async function takeSessionId(
  db: Db,
  sessionHash: Buffer,
  expiresAt: Date,
): Promise<boolean> {
  const query = db
    .insertInto('target_proof')
    .values({ session_hash: sessionHash, expires_at: expiresAt });
  const result = await query.onConflict((conflict) => conflict.doNothing()).executeTakeFirst();
  return (result.numInsertedOrUpdatedRows ?? 0n) === 1n;
}

export interface ProxyLogin {
  readonly loginId: string;
  readonly replicaId: string;
  /** SHA-256 of the proxy's public key. */
  readonly keyHash: Buffer;
  readonly user: string;
  readonly expiresAt: Date;
}

/** Notes that a proxy has shown a person's proof, so that it may renew for that login and key. */
export async function noteProxyLogin(db: Db, entry: ProxyLogin): Promise<void> {
  const values = {
    login_id: entry.loginId,
    replica_id: entry.replicaId,
    key_hash: entry.keyHash,
    user_name: entry.user,
    expires_at: entry.expiresAt,
  };
  await db
    .insertInto('proxy_login')
    .values(values)
    .onConflict((conflict) =>
      conflict
        .columns(['login_id', 'replica_id', 'key_hash'])
        .doUpdateSet({ expires_at: entry.expiresAt }),
    )
    .execute();
}

export async function findProxyLogin(
  db: Db,
  key: Pick<ProxyLogin, 'loginId' | 'replicaId' | 'keyHash'>,
): Promise<{ user: string; expiresAtMs: number } | undefined> {
  const row = await db
    .selectFrom('proxy_login')
    .select(['user_name', 'expires_at'])
    .where('login_id', '=', key.loginId)
    .where('replica_id', '=', key.replicaId)
    .where('key_hash', '=', key.keyHash)
    .executeTakeFirst();
  return row === undefined
    ? undefined
    : { user: row.user_name, expiresAtMs: row.expires_at.getTime() };
}
