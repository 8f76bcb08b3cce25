/** The manifest of a recording: written when all of it has arrived. */
import type { Deps } from '../deps.js';
import { findChunks, findRecording } from '../store/recordings.js';
import { manifestKey } from './object-store.js';

/** What a recording consists of, beside its chunks, so that the store can be read without the database. */
export async function writeManifest(
  deps: Pick<Deps, 'database' | 'objects'>,
  recordingId: string,
): Promise<void> {
  const recording = await findRecording(deps.database, recordingId);
  if (recording === undefined || !recording.isComplete) return;
  const chunks = await findChunks(deps.database, recordingId, { from: 0, limit: recording.chunks });
  const manifest = { version: 1, ...recording, chunks };
  await deps.objects.put(
    manifestKey(recording.sessionId, recordingId),
    Buffer.from(`${JSON.stringify(manifest, undefined, 1)}\n`),
  );
}
