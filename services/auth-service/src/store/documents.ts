/** Documents, by kind and case-folded name. */
import type { Db } from './store.js';
import type { DocumentOrigin, JsonObject } from './tables.js';
import { foldedOf, type NameKey } from './target-names.js';

export interface StoredDocument {
  readonly kind: string;
  readonly name: string;
  readonly folded: string;
  readonly revision: number;
  /** Everything but revision: `{labels?, description?, spec, protocol?, agent?}` plus what its kind keeps. */
  readonly body: JsonObject;
  readonly origin: DocumentOrigin;
  /** Of targets: the agent group that owns the name. */
  readonly ownerGroup: string | undefined;
  /** Of one that was removed and made again under its name: the last time. */
  readonly createdAt: Date;
}

const columns = [
  'kind',
  'name',
  'name_folded',
  'revision',
  'body',
  'origin',
  'owner_group',
  'created_at',
] as const;

interface Row {
  readonly kind: string;
  readonly name: string;
  readonly name_folded: string;
  readonly revision: number;
  readonly body: JsonObject;
  readonly origin: DocumentOrigin;
  readonly owner_group: string | null;
  readonly created_at: Date;
}

function decode(row: Row): StoredDocument {
  return {
    kind: row.kind,
    name: row.name,
    folded: row.name_folded,
    revision: row.revision,
    body: row.body,
    origin: row.origin,
    ownerGroup: row.owner_group ?? undefined,
    createdAt: row.created_at,
  };
}

export async function findDocument(
  db: Db,
  kind: string,
  folded: string,
): Promise<StoredDocument | undefined> {
  const query = db
    .selectFrom('document')
    .select(columns)
    .where('kind', '=', kind)
    .where('name_folded', '=', folded);
  const row = await query.executeTakeFirst();
  return row === undefined ? undefined : decode(row);
}

export interface DocumentPage {
  readonly kinds: readonly string[];
  /** Only what comes after this (kind, folded name). */
  readonly after?: { readonly kind: string; readonly folded: string };
  readonly limit?: number;
}

/** By kind and name, in bytewise order, so that a page token holds while others come and go. */
export async function listDocuments(db: Db, page: DocumentPage): Promise<StoredDocument[]> {
  if (page.kinds.length === 0) return [];
  let query = db.selectFrom('document').select(columns).where('kind', 'in', page.kinds);
  const { after } = page;
  if (after !== undefined) {
    query = query.where((where) =>
      where.or([
        where('kind', '>', after.kind),
        where.and([where('kind', '=', after.kind), where('name_folded', '>', after.folded)]),
      ]),
    );
  }
  query = query.orderBy('kind').orderBy('name_folded');
  if (page.limit !== undefined) query = query.limit(page.limit);
  return (await query.execute()).map(decode);
}

export interface DocumentWrite {
  readonly kind: string;
  readonly name: string;
  readonly folded: string;
  readonly revision: number;
  readonly body: JsonObject;
  readonly origin: DocumentOrigin;
  readonly ownerGroup?: string | undefined;
  readonly now: Date;
}

/** Inserts or replaces. The caller holds the outbox lock and has compared revisions. */
export async function putDocument(db: Db, write: DocumentWrite): Promise<StoredDocument> {
  const [document] = await putDocuments(db, [write]);
  if (document === undefined) throw new Error('nothing was written');
  return document;
}

/** The same for several, none of them twice, in one statement; they come back in no order. */
export async function putDocuments(
  db: Db,
  writes: readonly DocumentWrite[],
): Promise<StoredDocument[]> {
  if (writes.length === 0) return [];
  const values = writes.map((write) => ({
    kind: write.kind,
    name: write.name,
    name_folded: write.folded,
    revision: write.revision,
    body: JSON.stringify(write.body),
    origin: write.origin,
    owner_group: write.ownerGroup ?? null,
    created_at: write.now,
    updated_at: write.now,
  }));
  const rows = await db
    .insertInto('document')
    .values(values)
    .onConflict((conflict) =>
      conflict.columns(['kind', 'name_folded']).doUpdateSet((update) => ({
        revision: update.ref('excluded.revision'),
        body: update.ref('excluded.body'),
        origin: update.ref('excluded.origin'),
        owner_group: update.ref('excluded.owner_group'),
        updated_at: update.ref('excluded.updated_at'),
      })),
    )
    .returning(columns)
    .execute();
  return rows.map(decode);
}

export async function removeDocument(db: Db, kind: string, folded: string): Promise<void> {
  await removeDocuments(db, [{ kind, folded }]);
}

export async function removeDocuments(db: Db, keys: readonly NameKey[]): Promise<void> {
  for (const [kind, own] of Map.groupBy(keys, (key) => key.kind)) {
    const query = db.deleteFrom('document').where('kind', '=', kind);
    await query.where('name_folded', 'in', own.map(foldedOf)).execute();
  }
}

/** Targets of one agent group, whoever made their documents, or of one origin. */
export async function listOwnedTargets(
  db: Db,
  group: string,
  origin?: DocumentOrigin,
): Promise<StoredDocument[]> {
  let query = db.selectFrom('document').select(columns).where('owner_group', '=', group);
  if (origin !== undefined) query = query.where('origin', '=', origin);
  return (await query.orderBy('kind').orderBy('name_folded').execute()).map(decode);
}

/** Several documents of one kind; those that are missing are left out. */
export async function findDocuments(
  db: Db,
  kind: string,
  folded: readonly string[],
): Promise<StoredDocument[]> {
  if (folded.length === 0) return [];
  const query = db.selectFrom('document').select(columns).where('kind', '=', kind);
  return (await query.where('name_folded', 'in', folded).execute()).map(decode);
}

/** The same for documents of several kinds. */
export async function findDocumentsByKey(
  db: Db,
  keys: readonly NameKey[],
): Promise<StoredDocument[]> {
  const found: StoredDocument[] = [];
  for (const [kind, own] of Map.groupBy(keys, (key) => key.kind))
    found.push(...(await findDocuments(db, kind, own.map(foldedOf))));
  return found;
}
