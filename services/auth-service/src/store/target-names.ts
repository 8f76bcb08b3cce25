/** Who owns which target's name, and which agents serve it (D32). */
import type { Db } from './store.js';

export interface TargetName {
  readonly group: string;
  /** When the owner gave it up; undefined: it has not. */
  readonly releasedAtMs: number | undefined;
}

export interface NameKey {
  readonly kind: string;
  readonly folded: string;
}

export async function findTargetName(db: Db, key: NameKey): Promise<TargetName | undefined> {
  const query = db
    .selectFrom('target_name')
    .select(['owner_group', 'released_at'])
    .where('kind', '=', key.kind);
  const row = await query.where('name_folded', '=', key.folded).executeTakeFirst();
  return row === undefined
    ? undefined
    : { group: row.owner_group, releasedAtMs: row.released_at?.getTime() };
}

export async function putTargetName(db: Db, key: NameKey, group: string): Promise<void> {
  const values = { kind: key.kind, name_folded: key.folded, owner_group: group, released_at: null };
  await db
    .insertInto('target_name')
    .values(values)
    .onConflict((conflict) =>
      conflict
        .columns(['kind', 'name_folded'])
        .doUpdateSet({ owner_group: group, released_at: null }),
    )
    .execute();
}

/** The owner gave the name up; it is held for a while. */
export async function releaseTargetName(db: Db, key: NameKey, now: Date): Promise<void> {
  const query = db
    .updateTable('target_name')
    .set({ released_at: now })
    .where('kind', '=', key.kind);
  await query.where('name_folded', '=', key.folded).execute();
}

/** The name is free at once: an administrator said so. */
export async function removeTargetName(db: Db, key: NameKey): Promise<void> {
  const query = db.deleteFrom('target_name').where('kind', '=', key.kind);
  await query.where('name_folded', '=', key.folded).execute();
}

/** Frees a group's names, except those of documents that it still has. */
export async function removeGroupNames(db: Db, group: string): Promise<void> {
  await db
    .deleteFrom('target_name')
    .where('owner_group', '=', group)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('document')
            .select('document.name')
            .where('document.owner_group', '=', group)
            .whereRef('document.kind', '=', 'target_name.kind')
            .whereRef('document.name_folded', '=', 'target_name.name_folded'),
        ),
      ),
    )
    .execute();
}

export async function ownsNames(db: Db, group: string): Promise<boolean> {
  const query = db.selectFrom('target_name').select('kind').where('owner_group', '=', group);
  return (await query.executeTakeFirst()) !== undefined;
}

export async function pruneTargetNames(db: Db, before: Date): Promise<void> {
  await db.deleteFrom('target_name').where('released_at', '<', before).execute();
}

/** Which agents serve which names, for lists. */
export async function listServedNames(db: Db): Promise<(NameKey & { agentId: string })[]> {
  const rows = await db
    .selectFrom('agent_target')
    .selectAll()
    .orderBy('kind')
    .orderBy('name_folded')
    .execute();
  return rows.map((row) => ({ agentId: row.agent_id, kind: row.kind, folded: row.name_folded }));
}

export async function doesAgentServe(db: Db, agentId: string, key: NameKey): Promise<boolean> {
  const query = db.selectFrom('agent_target').select('agent_id').where('agent_id', '=', agentId);
  const row = await query
    .where('kind', '=', key.kind)
    .where('name_folded', '=', key.folded)
    .executeTakeFirst();
  return row !== undefined;
}

/** Replaces what one agent serves; gives the names that nobody serves any more. */
export async function replaceServedNames(
  db: Db,
  agentId: string,
  keys: readonly NameKey[],
): Promise<NameKey[]> {
  const before = await db
    .deleteFrom('agent_target')
    .where('agent_id', '=', agentId)
    .returning(['kind', 'name_folded'])
    .execute();
  if (keys.length > 0) {
    const values = keys.map((key) => ({
      agent_id: agentId,
      kind: key.kind,
      name_folded: key.folded,
    }));
    await db
      .insertInto('agent_target')
      .values(values)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  const orphans: NameKey[] = [];
  for (const row of before) {
    const query = db.selectFrom('agent_target').select('agent_id').where('kind', '=', row.kind);
    const other = await query.where('name_folded', '=', row.name_folded).executeTakeFirst();
    if (other === undefined) orphans.push({ kind: row.kind, folded: row.name_folded });
  }
  return orphans;
}
