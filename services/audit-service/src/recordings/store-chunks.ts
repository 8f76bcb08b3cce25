import { GatehouseError, toGatehouseError } from '@gatehouse/kit/errors';
/**
 * The way of a chunk into the store: decode → content as an object → its row. A chunk that is stored never changes: the
 * same one again is a repeat, another one in its place is a dead letter.
 */
import { decodeChunkRecord, type ChunkRecord, type StoredRecord } from '@gatehouse/kit/event-log';

import { publishDeadLetters, type DeadLetter } from '../dead-letters.js';
import type { Deps } from '../deps.js';
import { auditError } from '../errors.js';
import { isFaultOfData } from '../store/faults.js';
import { ensureRecording, findChunkHash, insertChunk } from '../store/recordings.js';
import { chunkKey } from './object-store.js';

type ChunkDeps = Pick<Deps, 'clock' | 'database' | 'objects' | 'manifests' | 'metrics' | 'logger'>;

/** A batch of the recordings topic. */
export async function storeChunkBatch(
  deps: ChunkDeps & Pick<Deps, 'eventLog'>,
  records: readonly StoredRecord[],
): Promise<void> {
  const touched = new Set<string>();
  const letters: DeadLetter[] = [];
  for (const record of records) {
    try {
      const chunk = decodeChunkRecord(record);
      await storeChunk(deps, chunk);
      touched.add(chunk.recordingId);
    } catch (thrown) {
      if (!isFaultOfChunk(thrown)) throw thrown;
      const { reason = 'chunk', message } = toGatehouseError(thrown);
      letters.push({ record, reason: `${reason}: ${message.slice(0, 200)}` });
    }
  }
  for (const recordingId of touched) await deps.manifests.write(recordingId);
  await publishDeadLetters(deps, letters);
}

/** @throws CHUNK_CONFLICT where another chunk, or another session's recording, is in its place */
async function storeChunk(deps: ChunkDeps, chunk: ChunkRecord): Promise<void> {
  const { database, objects, metrics, logger } = deps;
  const stored = await findChunkHash(database, chunk.recordingId, chunk.index);
  if (stored !== undefined && stored !== chunk.sha256) throw conflict('other content is stored');
  const sessionId = await ensureRecording(database, {
    recordingId: chunk.recordingId,
    sessionId: chunk.sessionId,
    protocol: chunk.protocol ?? '',
    actorKind: chunk.actor.kind,
    actorName: chunk.actor.name,
    targetName: chunk.target?.name ?? '',
  });
  if (sessionId !== chunk.sessionId) throw conflict('the recording is of another session');
  if (stored !== undefined) {
    logger.info({ recordingId: chunk.recordingId, index: chunk.index }, 'chunk received again');
    return;
  }
  await objects.put(chunkKey(chunk.sessionId, chunk.recordingId, chunk.index), chunk.content);
  await database.transaction().execute(async (transaction) => insertChunk(transaction, chunk));
  metrics.chunks.add();
}

function isFaultOfChunk(thrown: unknown): boolean {
  if (isFaultOfData(thrown)) return true;
  return (
    thrown instanceof GatehouseError &&
    (thrown.code === 'CHUNK_UNDECODABLE' || thrown.code === 'CHUNK_CONFLICT')
  );
}

function conflict(why: string): GatehouseError {
  return auditError('CHUNK_CONFLICT', { reason: 'conflict', message: why });
}
