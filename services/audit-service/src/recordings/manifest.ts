/**
 * Manifests of recordings: what one consists of, beside its chunks, so that the store can be read without the database.
 * Written when all of it has arrived. A store that fails holds nothing else up: it is tried again later.
 */
import { runInBackground } from '@gatehouse/kit/lifecycle';

import type { Deps } from '../deps.js';
import { findChunks, findRecording } from '../store/recordings.js';
import { manifestKey } from './object-store.js';

type ManifestDeps = Pick<Deps, 'database' | 'objects' | 'logger'>;

export interface Manifests extends Disposable {
  /** Writes the manifest of a recording that is complete; of another one, nothing. Never rejects. */
  write(recordingId: string): Promise<void>;
}

const retryEveryMs = 10_000;
const maxWaiting = 10_000;

export function keepManifests(deps: ManifestDeps): Manifests {
  const waiting = new Set<string>();
  const write = async (recordingId: string): Promise<void> => {
    try {
      await writeManifest(deps, recordingId);
      waiting.delete(recordingId);
    } catch (thrown) {
      const level = waiting.has(recordingId) ? 'debug' : 'warn';
      deps.logger[level]({ err: thrown, recordingId }, 'manifest could not be written');
      if (waiting.size < maxWaiting) waiting.add(recordingId);
    }
  };
  let isRetrying = false;
  const retry = async (): Promise<void> => {
    if (isRetrying) return;
    isRetrying = true;
    for (const recordingId of waiting) await write(recordingId);
    isRetrying = false;
  };
  const timer = setInterval(() => {
    runInBackground(retry, deps.logger);
  }, retryEveryMs).unref();
  return {
    write,
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

async function writeManifest(
  deps: Pick<ManifestDeps, 'database' | 'objects'>,
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
