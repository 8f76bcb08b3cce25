/** What tests look up or break on purpose in the database. */
import { sql } from 'kysely';

import { listAuthorities, type StoredAuthority } from './cluster.js';
import type { Db } from './store.js';
import type { AuthorityKind } from './tables.js';

export async function readAuthorityRows(db: Db): Promise<StoredAuthority[]> {
  return listAuthorities(db);
}

/** Puts the sealed key of one authority into the row of another. */
export async function swapAuthorityKeys(db: Db, a: AuthorityKind, b: AuthorityKind): Promise<void> {
  const rows = await listAuthorities(db);
  const first = rows.find((row) => row.kind === a);
  const second = rows.find((row) => row.kind === b);
  if (first === undefined || second === undefined) throw new Error('no such authorities');
  await db
    .updateTable('authority')
    .set({ private_key: second.privateKey })
    .where('id', '=', first.id)
    .execute();
  await db
    .updateTable('authority')
    .set({ private_key: first.privateKey })
    .where('id', '=', second.id)
    .execute();
}

/** Everything in every table as one text, as a dump would show it. */
export async function dumpDatabase(db: Db): Promise<string> {
  const tables = await sql<{
    name: string;
  }>`select table_name as name from information_schema.tables where table_schema = 'public'`.execute(
    db,
  );
  const parts: string[] = [];
  for (const { name } of tables.rows) {
    const rows = await sql<{
      row: string;
    }>`select t::text as row from ${sql.table(name)} t`.execute(db);
    parts.push(...rows.rows.map(({ row }) => row));
  }
  return parts.join('\n');
}

/** Column names by table. */
export async function readColumns(db: Db): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await sql<{ table: string; column: string }>`
    select table_name as table, column_name as column from information_schema.columns
    where table_schema = 'public' order by table_name, ordinal_position`.execute(db);
  const columns = new Map<string, string[]>();
  for (const { table, column } of rows.rows)
    columns.set(table, [...(columns.get(table) ?? []), column]);
  return columns;
}

/** Makes everything known of agents and their names older. */
export async function ageAgents(db: Db, ms: number): Promise<void> {
  const interval = sql`${ms / 1000} * interval '1 second'`;
  await sql`update agent set created_at = created_at - ${interval}, last_seen_at = last_seen_at - ${interval}`.execute(
    db,
  );
  await sql`update target_name set released_at = released_at - ${interval}`.execute(db);
}

/** Brings the ends of all leases nearer. */
export async function ageLeases(db: Db, ms: number): Promise<void> {
  await sql`update replica set lease_until = lease_until - ${ms / 1000} * interval '1 second'`.execute(
    db,
  );
}

/** Forgets all changes but the last `keep`. */
export async function pruneOutboxTo(db: Db, keep: number): Promise<void> {
  await sql`delete from outbox where id <= (select max(id) from outbox) - ${keep}`.execute(db);
}

/** Cuts every other connection to the database, as a restart of the server would. */
export async function cutConnections(db: Db): Promise<void> {
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`.execute(db);
}

/** Puts a text where an audit event waits for the log. */
export async function insertAuditText(db: Db, event: string): Promise<void> {
  const row = { log_key: 'test', event, created_at: new Date() };
  await db.insertInto('audit_row').values(row).execute();
}
