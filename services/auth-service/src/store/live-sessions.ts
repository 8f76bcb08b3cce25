/** Live sessions and the leases of the replicas that carry them (D30). */
import { sql, type RawBuilder } from 'kysely';

import type { Db } from './store.js';

export interface StoredSession {
  readonly id: string;
  readonly replicaId: string;
  readonly protocol: string;
  readonly user: string;
  readonly targetKind: string;
  readonly target: string;
  readonly principal: string;
  readonly loginId: string;
  readonly clientAddress: string;
  readonly startedAt: Date;
}

interface Row {
  readonly id: string;
  readonly replica_id: string;
  readonly protocol: string;
  readonly user_name: string;
  readonly target_kind: string;
  readonly target: string;
  readonly principal: string;
  readonly login_id: string;
  readonly client_address: string;
  readonly started_at: Date;
}

function decode(row: Row): StoredSession {
  return {
    id: row.id,
    replicaId: row.replica_id,
    protocol: row.protocol,
    user: row.user_name,
    targetKind: row.target_kind,
    target: row.target,
    principal: row.principal,
    loginId: row.login_id,
    clientAddress: row.client_address,
    startedAt: row.started_at,
  };
}

export async function findSession(db: Db, id: string): Promise<StoredSession | undefined> {
  const row = await db
    .selectFrom('live_session')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
  return row === undefined ? undefined : decode(row);
}

/** Those of these ids that are there. */
export async function findSessionIds(db: Db, ids: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from live_session where id = any(${ids}::text[])`.execute(db);
  return rows.map((row) => row.id);
}

/** By start; of one person, or all. */
export async function listSessions(db: Db, user?: string): Promise<StoredSession[]> {
  let query = db.selectFrom('live_session').selectAll();
  if (user !== undefined) query = query.where('user_name', '=', user);
  return (await query.orderBy('started_at').orderBy('id').execute()).map(decode);
}

/** Without those of `except`, at least one: a report that arrives twice does not stand in its own way. */
export async function countUserSessions(
  db: Db,
  user: string,
  except: readonly string[],
): Promise<number> {
  const query = db.selectFrom('live_session').select(({ fn }) => fn.countAll<number>().as('count'));
  const row = await query
    .where('user_name', '=', user)
    .where('id', 'not in', except)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** A statement takes at most 65,535 parameters, and a row is ten. */
const insertRows = 1_000;

export async function insertSessions(db: Db, sessions: readonly StoredSession[]): Promise<void> {
  if (sessions.length === 0) return;
  const values = sessions.map((session) => ({
    id: session.id,
    replica_id: session.replicaId,
    protocol: session.protocol,
    user_name: session.user,
    target_kind: session.targetKind,
    target: session.target,
    principal: session.principal,
    login_id: session.loginId,
    client_address: session.clientAddress,
    started_at: session.startedAt,
  }));
  for (let at = 0; at < values.length; at += insertRows) {
    await db
      .insertInto('live_session')
      .values(values.slice(at, at + insertRows))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

export async function removeSessions(
  db: Db,
  replicaId: string,
  ids: readonly string[],
): Promise<void> {
  if (ids.length === 0) return;
  await db
    .deleteFrom('live_session')
    .where('replica_id', '=', replicaId)
    .where('id', 'in', ids)
    .execute();
}

/** A part of a replica's sessions, by their ids and their start. */
export interface SessionsPart {
  /** Only those that began before, by the replica's clock. */
  readonly before?: Date;
  /** Only ids behind this one. */
  readonly afterId?: string;
  /** Only ids up to this one. */
  readonly untilId?: string;
}

/** What a replica does not name is gone. */
export async function keepSessions(
  db: Db,
  kept: SessionsPart & { readonly replicaId: string; readonly ids: readonly string[] },
): Promise<void> {
  const { replicaId, ids, before, afterId, untilId } = kept;
  // In the order of their bytes, as the proxy has it, whatever the database's language is.
  const id = sql<string>`id collate "C"`;
  let query = db.deleteFrom('live_session').where('replica_id', '=', replicaId);
  if (ids.length > 0) query = query.where('id', 'not in', ids);
  if (before !== undefined) query = query.where('started_at', '<', before);
  if (afterId !== undefined) query = query.where(id, '>', afterId);
  if (untilId !== undefined) query = query.where(id, '<=', untilId);
  await query.execute();
}

/** The database's time: leases are written and compared by it, whatever the clocks of replicas say. */
const databaseTime = sql<Date>`clock_timestamp()`;

function inFuture(ms: number): RawBuilder<Date> {
  return sql<Date>`${databaseTime} + ${ms / 1000} * interval '1 second'`;
}

export async function readDatabaseTime(db: Db): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select ${databaseTime} as now`.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error('the database gave no time');
  return row.now;
}

/** Gives its end. */
export async function putLease(
  db: Db,
  lease: { replicaId: string; kind: string; ms: number },
): Promise<Date> {
  const until = inFuture(lease.ms);
  const row = await db
    .insertInto('replica')
    .values({ id: lease.replicaId, kind: lease.kind, lease_until: until })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ lease_until: until }))
    .returning('lease_until')
    .executeTakeFirstOrThrow();
  return row.lease_until;
}

/** After a time in which nobody could renew, all get a full term (D30). */
export async function extendLeases(db: Db, ms: number): Promise<void> {
  await db
    .updateTable('replica')
    .set({ lease_until: inFuture(ms) })
    .execute();
}

/** Ends leases that ran out, with their sessions; gives the replicas. */
export async function removeLapsedReplicas(db: Db): Promise<string[]> {
  const rows = await db
    .deleteFrom('replica')
    .where('lease_until', '<', databaseTime)
    .returning('id')
    .execute();
  const ids = rows.map((row) => row.id);
  if (ids.length > 0) await db.deleteFrom('live_session').where('replica_id', 'in', ids).execute();
  return ids;
}
