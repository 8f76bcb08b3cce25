/** What people prove a login with. */
import type { Db } from './store.js';

export interface StoredCredential {
  readonly user: string;
  readonly passwordHash: string | undefined;
  /** Sealed. */
  readonly totpSecret: Buffer | undefined;
  readonly totpLastStep: number;
  /** Logins made before are refused. */
  readonly validAfterMs: number;
}

export async function findCredential(db: Db, user: string): Promise<StoredCredential | undefined> {
  const row = await db
    .selectFrom('user_credential')
    .selectAll()
    .where('user_name', '=', user)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    user: row.user_name,
    passwordHash: row.password_hash ?? undefined,
    totpSecret: row.totp_secret ?? undefined,
    totpLastStep: row.totp_last_step,
    validAfterMs: row.valid_after.getTime(),
  };
}

/** Sets everything anew; a new authenticator starts without a used step. */
export async function putCredential(
  db: Db,
  credential: {
    user: string;
    passwordHash: string | undefined;
    totpSecret: Buffer | undefined;
    validAfter: Date;
  },
): Promise<void> {
  const values = {
    user_name: credential.user,
    password_hash: credential.passwordHash ?? null,
    totp_secret: credential.totpSecret ?? null,
    totp_last_step: 0,
    valid_after: credential.validAfter,
  };
  await db
    .insertInto('user_credential')
    .values(values)
    .onConflict((conflict) => conflict.column('user_name').doUpdateSet(values))
    .execute();
}

/** Takes a time step once: false where it, or a later one, was taken before, by any replica. */
export async function takeTotpStep(db: Db, user: string, step: number): Promise<boolean> {
  const query = db.updateTable('user_credential').set({ totp_last_step: step });
  const result = await query
    .where('user_name', '=', user)
    .where('totp_last_step', '<', step)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

export async function removeCredential(db: Db, user: string): Promise<void> {
  await db.deleteFrom('user_credential').where('user_name', '=', user).execute();
}
