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

/** The folded name of a key, for lists of them. */
export function foldedOf(key: NameKey): string {
  return key.folded;
}

/** A key as one text. */
export function keyText({ kind, folded }: NameKey): string {
  return `${kind}/${folded}`;
}

/** What is held of these names, by the text of their keys. */
export async function findTargetNames(
  db: Db,
  keys: readonly NameKey[],
): Promise<Map<string, TargetName>> {
  const found = new Map<string, TargetName>();
  for (const [kind, own] of Map.groupBy(keys, (key) => key.kind)) {
    const query = db
      .selectFrom('target_name')
      .select(['name_folded', 'owner_group', 'released_at'])
      .where('kind', '=', kind);
    for (const row of await query.where('name_folded', 'in', own.map(foldedOf)).execute()) {
      const text = keyText({ kind, folded: row.name_folded });
      found.set(text, { group: row.owner_group, releasedAtMs: row.released_at?.getTime() });
    }
  }
  return found;
}

export async function findTargetName(db: Db, key: NameKey): Promise<TargetName | undefined> {
  return (await findTargetNames(db, [key])).get(keyText(key));
}

/** Makes names a group's. None of them twice. */
export async function putTargetNames(
  db: Db,
  keys: readonly NameKey[],
  group: string,
): Promise<void> {
  if (keys.length === 0) return;
  const values = keys.map(({ kind, folded }) => ({
    kind,
    name_folded: folded,
    owner_group: group,
    released_at: null,
  }));
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

/** The owner gave the names up; they are held for a while. */
export async function releaseTargetNames(
  db: Db,
  keys: readonly NameKey[],
  now: Date,
): Promise<void> {
  for (const [kind, own] of Map.groupBy(keys, (key) => key.kind)) {
    const query = db.updateTable('target_name').set({ released_at: now }).where('kind', '=', kind);
    await query.where('name_folded', 'in', own.map(foldedOf)).execute();
  }
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

export async function listNamesServedBy(db: Db, agentId: string): Promise<NameKey[]> {
  const query = db.selectFrom('agent_target').select(['kind', 'name_folded']);
  const rows = await query.where('agent_id', '=', agentId).execute();
  return rows.map((row) => ({ kind: row.kind, folded: row.name_folded }));
}

export async function addServedNames(
  db: Db,
  agentId: string,
  keys: readonly NameKey[],
): Promise<void> {
  if (keys.length === 0) return;
  await db
    .insertInto('agent_target')
    .values(keys.map(({ kind, folded }) => ({ agent_id: agentId, kind, name_folded: folded })))
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** An agent serves these no more; gives those that nobody serves now. */
export async function removeServedNames(
  db: Db,
  agentId: string,
  keys: readonly NameKey[],
): Promise<NameKey[]> {
  const orphans: NameKey[] = [];
  for (const [kind, own] of Map.groupBy(keys, (key) => key.kind)) {
    const names = own.map(foldedOf);
    const remove = db.deleteFrom('agent_target').where('agent_id', '=', agentId);
    await remove.where('kind', '=', kind).where('name_folded', 'in', names).execute();
    const others = db.selectFrom('agent_target').select('name_folded').where('kind', '=', kind);
    const rows = await others.where('name_folded', 'in', names).execute();
    const served = new Set(rows.map((row) => row.name_folded));
    orphans.push(...own.filter((key) => !served.has(key.folded)));
  }
  return orphans;
}
