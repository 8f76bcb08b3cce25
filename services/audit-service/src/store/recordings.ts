/** Queries of recordings and their chunks. */
import type { ChunkRecord } from '@gatehouse/kit/event-log';
import { idTime } from '@gatehouse/kit/ids';
import { sql, type Kysely, type Selectable } from 'kysely';

import type { Owner } from '../events/filter.js';
import { maxIndexedChars } from './events.js';
import type { RecordingChunkTable, RecordingTable, Tables } from './tables.js';

/** What a recording belongs to. */
export interface RecordingOwner {
  readonly recordingId: string;
  readonly sessionId: string;
  readonly protocol: string;
  readonly actorKind: string;
  readonly actorName: string;
  readonly targetName: string;
}

export interface Recording {
  readonly id: string;
  readonly sessionId: string;
  readonly protocol: string;
  readonly actorKind: string;
  readonly actorName: string;
  readonly targetName: string;
  readonly startedAt: Date;
  readonly durationMs: number;
  readonly bytes: number;
  readonly chunks: number;
  /** Its end has arrived, whether or not every chunk has. */
  readonly hasEnded: boolean;
  /** Its end has arrived, and so has every chunk. */
  readonly isComplete: boolean;
  readonly head: string | undefined;
}

export interface StoredChunk {
  readonly index: number;
  readonly sha256: string;
  readonly previousSha256: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly storedBytes: number;
}

/** Makes the recording where it is new. @returns the session that it belongs to, which is another's where ids were taken over */
export async function ensureRecording(
  database: Kysely<Tables>,
  owner: RecordingOwner,
): Promise<string> {
  const row = {
    id: owner.recordingId,
    session_id: owner.sessionId,
    protocol: owner.protocol,
    actor_kind: owner.actorKind,
    actor_name: owner.actorName.slice(0, maxIndexedChars).toWellFormed(),
    target_name: owner.targetName.slice(0, maxIndexedChars).toWellFormed(),
    started_at: new Date(idTime(owner.recordingId)),
    duration_ms: 0,
    bytes: 0,
    chunks: 0,
  };
  await database
    .insertInto('audit_recording')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute();
  const stored = await database
    .selectFrom('audit_recording')
    .select(['session_id', 'protocol'])
    .where('id', '=', owner.recordingId)
    .executeTakeFirstOrThrow();
  if (stored.protocol === '' && owner.protocol !== '') {
    await database
      .updateTable('audit_recording')
      .set({ protocol: owner.protocol })
      .where('id', '=', owner.recordingId)
      .execute();
  }
  return stored.session_id;
}

/** SHA-256 of a chunk that is stored. */
export async function findChunkHash(
  database: Kysely<Tables>,
  recordingId: string,
  index: number,
): Promise<string | undefined> {
  const row = await database
    .selectFrom('audit_recording_chunk')
    .select('sha256')
    .where('recording_id', '=', recordingId)
    .where('chunk_index', '=', index)
    .executeTakeFirst();
  return row?.sha256;
}

/** Notes a chunk whose content is stored, once. */
export async function insertChunk(database: Kysely<Tables>, chunk: ChunkRecord): Promise<void> {
  const inserted = await database
    .insertInto('audit_recording_chunk')
    .values({
      recording_id: chunk.recordingId,
      chunk_index: chunk.index,
      sha256: chunk.sha256,
      previous_sha256: chunk.previousSha256,
      from_ms: chunk.fromMs,
      to_ms: chunk.toMs,
      stored_bytes: chunk.content.length,
    })
    .onConflict((conflict) => conflict.columns(['recording_id', 'chunk_index']).doNothing())
    .returning('chunk_index')
    .execute();
  if (inserted.length === 0) return;
  await database
    .updateTable('audit_recording')
    .set({
      chunks: sql<number>`chunks + 1`,
      bytes: sql<number>`bytes + ${chunk.recordedBytes}::bigint`,
      duration_ms: sql<number>`greatest(duration_ms, ${chunk.toMs}::bigint)`,
    })
    .where('id', '=', chunk.recordingId)
    .execute();
}

/** Notes what `recording.completed` says. */
export async function updateEnd(
  database: Kysely<Tables>,
  recordingId: string,
  end: { chunks: number; durationMs: number; head: string },
): Promise<void> {
  await database
    .updateTable('audit_recording')
    .set({
      expected_chunks: end.chunks,
      head: end.head,
      duration_ms: sql<number>`greatest(duration_ms, ${end.durationMs}::bigint)`,
    })
    .where('id', '=', recordingId)
    .execute();
}

export async function findRecording(
  database: Kysely<Tables>,
  id: string,
): Promise<Recording | undefined> {
  const row = await database
    .selectFrom('audit_recording')
    .selectAll()
    .where(id.startsWith('ses_') ? 'session_id' : 'id', '=', id)
    .orderBy('started_at')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? undefined : decodeRecording(row);
}

export interface RecordingQuery {
  readonly actorName?: string | undefined;
  readonly targetName?: string | undefined;
  readonly sessionId?: string | undefined;
  /** Only what this person did. */
  readonly owner?: Owner | undefined;
  readonly before?: { readonly startedMs: number; readonly id: string } | undefined;
  readonly limit: number;
}

/** Newest first. */
export async function findRecordings(
  database: Kysely<Tables>,
  query: RecordingQuery,
): Promise<Recording[]> {
  let select = database.selectFrom('audit_recording').selectAll();
  if (query.actorName !== undefined)
    select = select.where('actor_name', '=', query.actorName.slice(0, maxIndexedChars));
  if (query.targetName !== undefined)
    select = select.where('target_name', '=', query.targetName.slice(0, maxIndexedChars));
  if (query.sessionId !== undefined) select = select.where('session_id', '=', query.sessionId);
  if (query.owner !== undefined)
    select = select
      .where('actor_kind', '=', 'user')
      .where('actor_name', '=', query.owner.name.slice(0, maxIndexedChars))
      .where('started_at', '>=', query.owner.since);
  if (query.before !== undefined) {
    const { startedMs, id } = query.before;
    select = select.where(sql<boolean>`(started_at, id) < (${new Date(startedMs)}, ${id})`);
  }
  const rows = await select
    .orderBy('started_at', 'desc')
    .orderBy('id', 'desc')
    .limit(query.limit)
    .execute();
  return rows.map(decodeRecording);
}

/** Some that ended before a time. */
export async function findRecordingsBefore(
  database: Kysely<Tables>,
  cutoff: Date,
  limit: number,
): Promise<{ id: string; sessionId: string }[]> {
  return database
    .selectFrom('audit_recording')
    .select(['id', 'session_id as sessionId'])
    .where('started_at', '<', cutoff)
    .where(sql<boolean>`started_at + duration_ms * interval '1 millisecond' < ${cutoff}`)
    .orderBy('started_at')
    .limit(limit)
    .execute();
}

/** Forgets those that ended before `cutoff`, which is at least seven days ago. @returns how many */
export async function dropRecordings(
  database: Kysely<Tables>,
  ids: readonly string[],
  cutoff: Date,
): Promise<number> {
  if (ids.length === 0) return 0;
  const { rows } = await sql<{ dropped: number }>`
    select audit_recording_drop(${ids}::text[], ${cutoff}) as dropped`.execute(database);
  return rows[0]?.dropped ?? 0;
}

/** Chunks in order, from an index on. */
export async function findChunks(
  database: Kysely<Tables>,
  recordingId: string,
  range: { from: number; limit: number },
): Promise<StoredChunk[]> {
  const rows = await database
    .selectFrom('audit_recording_chunk')
    .selectAll()
    .where('recording_id', '=', recordingId)
    .where('chunk_index', '>=', range.from)
    .orderBy('chunk_index')
    .limit(range.limit)
    .execute();
  return rows.map(decodeChunk);
}

function decodeRecording(row: Selectable<RecordingTable>): Recording {
  return {
    id: row.id,
    sessionId: row.session_id,
    protocol: row.protocol,
    actorKind: row.actor_kind,
    actorName: row.actor_name,
    targetName: row.target_name,
    startedAt: row.started_at,
    durationMs: row.duration_ms,
    bytes: row.bytes,
    chunks: row.chunks,
    hasEnded: row.expected_chunks !== null,
    isComplete: row.expected_chunks !== null && row.chunks >= row.expected_chunks,
    head: row.head ?? undefined,
  };
}

function decodeChunk(row: RecordingChunkTable): StoredChunk {
  return {
    index: row.chunk_index,
    sha256: row.sha256,
    previousSha256: row.previous_sha256,
    fromMs: row.from_ms,
    toMs: row.to_ms,
    storedBytes: row.stored_bytes,
  };
}
