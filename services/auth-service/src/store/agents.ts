/** Agents that joined, and where they are connected. */
import { sql } from 'kysely';

import type { Db } from './store.js';

export interface StoredAgent {
  readonly id: string;
  readonly name: string;
  /** Owns the names of its targets: a group's name, or the agent's own id. */
  readonly group: string;
  /** Forced on all its targets. */
  readonly labels: Readonly<Record<string, string>>;
  /** Globs that bound the names of its targets; empty: any. */
  readonly names: readonly string[];
  /** Globs of documents that an administrator may add for it. */
  readonly dynamic: readonly string[];
  readonly generation: number;
  readonly fingerprint: Buffer;
  readonly previousFingerprint: Buffer | undefined;
  /** Whether the present generation has been shown. */
  readonly isGenerationSeen: boolean;
  readonly renewedAtMs: number;
  readonly version: string;
  readonly createdAtMs: number;
  readonly lastSeenAtMs: number | undefined;
}

const columns = [
  'id',
  'name',
  'group_name',
  'labels',
  'names',
  'dynamic',
  'generation',
  'fingerprint',
  'previous_fingerprint',
  'generation_seen',
  'renewed_at',
  'version',
  'created_at',
  'last_seen_at',
] as const;

interface Row {
  readonly id: string;
  readonly name: string;
  readonly group_name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  readonly dynamic: readonly string[];
  readonly generation: number;
  readonly fingerprint: Buffer;
  readonly previous_fingerprint: Buffer | null;
  readonly generation_seen: boolean;
  readonly renewed_at: Date;
  readonly version: string;
  readonly created_at: Date;
  readonly last_seen_at: Date | null;
}

function decode(row: Row): StoredAgent {
  return {
    id: row.id,
    name: row.name,
    group: row.group_name,
    labels: row.labels,
    names: row.names,
    dynamic: row.dynamic,
    generation: row.generation,
    fingerprint: row.fingerprint,
    previousFingerprint: row.previous_fingerprint ?? undefined,
    isGenerationSeen: row.generation_seen,
    renewedAtMs: row.renewed_at.getTime(),
    version: row.version,
    createdAtMs: row.created_at.getTime(),
    lastSeenAtMs: row.last_seen_at?.getTime(),
  };
}

export async function findAgent(db: Db, id: string): Promise<StoredAgent | undefined> {
  const row = await db.selectFrom('agent').select(columns).where('id', '=', id).executeTakeFirst();
  return row === undefined ? undefined : decode(row);
}

export async function findAgentByName(db: Db, folded: string): Promise<StoredAgent | undefined> {
  const row = await db
    .selectFrom('agent')
    .select(columns)
    .where('name_folded', '=', folded)
    .executeTakeFirst();
  return row === undefined ? undefined : decode(row);
}

export async function listAgents(db: Db): Promise<StoredAgent[]> {
  return (await db.selectFrom('agent').select(columns).orderBy('name_folded').execute()).map(
    decode,
  );
}

export async function listGroupAgents(db: Db, group: string): Promise<StoredAgent[]> {
  const query = db.selectFrom('agent').select(columns).where('group_name', '=', group);
  return (await query.orderBy('name_folded').execute()).map(decode);
}

/** Those of these groups of which an agent was seen, or joined, since `since`. */
export async function findGroupsAround(
  db: Db,
  groups: readonly string[],
  since: Date,
): Promise<Set<string>> {
  if (groups.length === 0) return new Set();
  const rows = await db
    .selectFrom('agent')
    .select('group_name')
    .distinct()
    .where('group_name', 'in', groups)
    .where(({ fn }) => fn.coalesce('last_seen_at', 'created_at'), '>=', since)
    .execute();
  return new Set(rows.map((row) => row.group_name));
}

export interface AgentInsert {
  readonly id: string;
  readonly name: string;
  readonly folded: string;
  readonly group: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  readonly fingerprint: Buffer;
  readonly now: Date;
}

export async function insertAgent(db: Db, agent: AgentInsert): Promise<void> {
  await db
    .insertInto('agent')
    .values({
      id: agent.id,
      name: agent.name,
      name_folded: agent.folded,
      group_name: agent.group,
      labels: JSON.stringify(agent.labels),
      names: JSON.stringify(agent.names),
      dynamic: '[]',
      generation: 1,
      fingerprint: agent.fingerprint,
      previous_fingerprint: null,
      renewed_at: agent.now,
      created_at: agent.now,
      last_seen_at: null,
    })
    .execute();
}

/** A new generation: the present certificate becomes the previous one. */
export async function setAgentGeneration(
  db: Db,
  id: string,
  next: { generation: number; fingerprint: Buffer; previous: Buffer; now: Date },
): Promise<void> {
  const values = {
    generation: next.generation,
    fingerprint: next.fingerprint,
    previous_fingerprint: next.previous,
    generation_seen: false,
    renewed_at: next.now,
  };
  await db.updateTable('agent').set(values).where('id', '=', id).execute();
}

export async function noteAgentSeen(
  db: Db,
  id: string,
  seen: { isPresentGeneration: boolean; version: string; dynamic: readonly string[]; now: Date },
): Promise<void> {
  const values = {
    version: seen.version,
    dynamic: JSON.stringify(seen.dynamic),
    last_seen_at: seen.now,
    ...(seen.isPresentGeneration ? { generation_seen: true } : {}),
  };
  await db.updateTable('agent').set(values).where('id', '=', id).execute();
}

export async function removeAgent(db: Db, id: string): Promise<void> {
  await db.deleteFrom('agent_presence').where('agent_id', '=', id).execute();
  await db.deleteFrom('agent').where('id', '=', id).execute();
}

export interface Presence {
  readonly agentId: string;
  readonly replicaId: string;
  readonly seenAtMs: number;
}

export async function listPresence(db: Db): Promise<Presence[]> {
  const rows = await db.selectFrom('agent_presence').selectAll().execute();
  return rows.map((row) => ({
    agentId: row.agent_id,
    replicaId: row.replica_id,
    seenAtMs: row.seen_at.getTime(),
  }));
}

/** Where these agents are. */
export async function listPresenceOf(
  db: Db,
  agentIds: readonly string[],
): Promise<{ agentId: string; replicaId: string }[]> {
  if (agentIds.length === 0) return [];
  const { rows } = await sql<{ agentId: string; replicaId: string }>`
    select agent_id as "agentId", replica_id as "replicaId" from agent_presence
    where agent_id = any(${agentIds}::text[])`.execute(db);
  return rows;
}

export async function hasPresenceBefore(db: Db, before: Date): Promise<boolean> {
  const query = db.selectFrom('agent_presence').select('agent_id').where('seen_at', '<', before);
  return (await query.limit(1).executeTakeFirst()) !== undefined;
}

/** An agent's own row says to within so long when it was last seen: not every report of thousands writes all of them. */
const lastSeenMs = 30_000;
/** A presence that was noted so short a time ago is not written again. */
const presentMs = 3_000;

/**
 * Notes agents as seen at a replica, and on their own rows. Unknown agents are left out.
 * @returns those that were not there before
 */
export async function putPresence(
  db: Db,
  seen: { readonly replicaId: string; readonly agentIds: readonly string[]; readonly now: Date },
): Promise<string[]> {
  const { replicaId, agentIds, now } = seen;
  if (agentIds.length === 0) return [];
  // In one order: reports of two replicas name the same agents, and none may wait for the other crosswise.
  await sql`
    with due as (
      select id from agent
      where id = any(${agentIds}::text[])
        and (last_seen_at is null or last_seen_at < ${new Date(now.getTime() - lastSeenMs)})
      order by id for no key update)
    update agent set last_seen_at = ${now} from due where agent.id = due.id`.execute(db);
  const { rows } = await sql<{ id: string; isNew: boolean }>`
    insert into agent_presence (agent_id, replica_id, seen_at)
    select id, ${replicaId}, ${now} from agent where id = any(${agentIds}::text[]) order by id
    on conflict (agent_id, replica_id) do update set seen_at = excluded.seen_at
      where agent_presence.seen_at < ${new Date(now.getTime() - presentMs)}
    returning agent_id as id, xmax = 0 as "isNew"`.execute(db);
  return rows.flatMap(({ id, isNew }) => (isNew ? [id] : []));
}

/** Takes away what a replica no longer holds, and what was not seen since `before`; gives the agents concerned. */
export async function removePresence(
  db: Db,
  which: { replicaId: string; except: readonly string[] } | { before: Date },
): Promise<string[]> {
  let query = db.deleteFrom('agent_presence');
  if ('before' in which) query = query.where('seen_at', '<', which.before);
  else {
    query = query.where('replica_id', '=', which.replicaId);
    query = query.where(sql<boolean>`agent_id <> all(${which.except}::text[])`);
  }
  const rows = await query.returning('agent_id').execute();
  return [...new Set(rows.map((row) => row.agent_id))];
}
