/** Links that set a password and a second factor, once. */
import type { Db } from './store.js';
import type { InvitePurpose } from './tables.js';

export interface StoredInvite {
  readonly id: string;
  readonly purpose: InvitePurpose;
  /** Undefined: the first administrator, who chooses a name. */
  readonly user: string | undefined;
  readonly roles: readonly string[];
  readonly traits: Readonly<Record<string, readonly string[]>>;
  readonly expiresAtMs: number;
  readonly isUsed: boolean;
}

export interface InviteWrite extends Omit<StoredInvite, 'isUsed'> {
  readonly tokenHash: Buffer;
  readonly now: Date;
}

export async function insertInvite(db: Db, invite: InviteWrite): Promise<void> {
  await db
    .insertInto('invite')
    .values({
      id: invite.id,
      token_hash: invite.tokenHash,
      purpose: invite.purpose,
      user_name: invite.user ?? null,
      roles: JSON.stringify(invite.roles),
      traits: JSON.stringify(invite.traits),
      created_at: invite.now,
      expires_at: new Date(invite.expiresAtMs),
      used_at: null,
    })
    .execute();
}

export async function findInvite(db: Db, tokenHash: Buffer): Promise<StoredInvite | undefined> {
  const row = await db
    .selectFrom('invite')
    .selectAll()
    .where('token_hash', '=', tokenHash)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    id: row.id,
    purpose: row.purpose,
    user: row.user_name ?? undefined,
    roles: row.roles,
    traits: row.traits,
    expiresAtMs: row.expires_at.getTime(),
    isUsed: row.used_at !== null,
  };
}

/** Takes an unused link; false where somebody was faster. */
export async function takeInvite(db: Db, id: string, now: Date): Promise<boolean> {
  const query = db
    .updateTable('invite')
    .set({ used_at: now })
    .where('id', '=', id)
    .where('used_at', 'is', null);
  return (await query.executeTakeFirst()).numUpdatedRows === 1n;
}

/** Revokes earlier links: of one person, or those for a first administrator. */
export async function revokeInvites(
  db: Db,
  which: { user: string } | { purpose: InvitePurpose },
): Promise<void> {
  const query = db.deleteFrom('invite');
  if ('user' in which) await query.where('user_name', '=', which.user).execute();
  else await query.where('purpose', '=', which.purpose).execute();
}

export async function pruneInvites(db: Db, before: Date): Promise<void> {
  await db.deleteFrom('invite').where('expires_at', '<', before).execute();
}
