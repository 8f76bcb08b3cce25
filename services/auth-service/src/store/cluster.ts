/** The cluster's name, its sealing keys and its authorities. */
import { sql } from 'kysely';

import type { Db } from './store.js';
import type { AuthorityKind } from './tables.js';

/** Check values by key id; undefined where the database is still empty (not even migrated). */
export async function readSealingChecks(db: Db): Promise<ReadonlyMap<string, Buffer> | undefined> {
  const found = await sql<{
    found: boolean;
  }>`select to_regclass('sealing_key') is not null as found`.execute(db);
  if (found.rows[0]?.found !== true) return undefined;
  const rows = await db.selectFrom('sealing_key').select(['key_id', 'check_value']).execute();
  return new Map(rows.map((row) => [row.key_id, row.check_value]));
}

export async function insertSealingCheck(
  db: Db,
  check: { keyId: string; value: Buffer; now: Date },
): Promise<void> {
  const values = { key_id: check.keyId, check_value: check.value, created_at: check.now };
  await db
    .insertInto('sealing_key')
    .values(values)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

export async function readClusterName(db: Db): Promise<string | undefined> {
  return (await db.selectFrom('cluster').select('name').executeTakeFirst())?.name;
}

export async function insertCluster(db: Db, name: string, now: Date): Promise<void> {
  await db.insertInto('cluster').values({ name, created_at: now }).execute();
}

export interface StoredAuthority {
  readonly id: string;
  readonly kind: AuthorityKind;
  readonly state: 'active' | 'trusted';
  /** SSH blob, CA certificate (DER) or SPKI. */
  readonly publicKey: Buffer;
  /** Sealed PKCS #8 PEM. */
  readonly privateKey: Buffer;
}

/** All authorities, the active one of each kind first. */
export async function listAuthorities(db: Db): Promise<StoredAuthority[]> {
  const rows = await db
    .selectFrom('authority')
    .selectAll()
    .orderBy('kind')
    .orderBy('state')
    .orderBy('id')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    state: row.state,
    publicKey: row.public_key,
    privateKey: row.private_key,
  }));
}

export async function insertAuthority(
  db: Db,
  authority: StoredAuthority,
  now: Date,
): Promise<void> {
  await db
    .insertInto('authority')
    .values({
      id: authority.id,
      kind: authority.kind,
      state: authority.state,
      public_key: authority.publicKey,
      private_key: authority.privateKey,
      created_at: now,
    })
    .execute();
}
