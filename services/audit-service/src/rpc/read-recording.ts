/** One recording's chunks in order. That it was read is audited before the first chunk leaves. */
import { createHash } from 'node:crypto';

import { sleep } from '@gatehouse/kit/clock';
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ReadRecordingRequest,
  ReadRecordingResponse,
} from '@gatehouse/proto/audit/v1/audit_service';

import { requireViewer, type Viewer } from '../access/viewer.js';
import type { Context, Deps } from '../deps.js';
import { auditError } from '../errors.js';
import { recordingPlayed } from '../events.js';
import { writeEvent } from '../events/write-event.js';
import { chunkKey } from '../recordings/object-store.js';
import {
  findChunks,
  findRecording,
  type Recording,
  type StoredChunk,
} from '../store/recordings.js';

export const callers: readonly CallerRule[] = ['user'];

const batch = 64;

/** How long the chunks of a recording that has ended are waited for: they come by a way of their own (D22). */
const maxWaitMs = 5_000;
const waitMs = 100;

export async function* handle(
  deps: Deps,
  request: ReadRecordingRequest,
  context: Context,
): AsyncGenerator<ReadRecordingResponse> {
  const viewer = requireViewer(deps, context);
  const recording = await requireRecording(deps, viewer, request.id);
  await writeEvent(
    deps,
    recordingPlayed({
      cluster: deps.clusterName,
      nowMs: deps.clock.now(),
      actor: viewer.actor,
      recording,
    }),
  );
  let next = 0;
  let giveUpAt = deps.clock.monotonic() + maxWaitMs;
  while (!context.signal.aborted) {
    const chunks = await findChunks(deps.database, recording.id, { from: next, limit: batch });
    for (const chunk of chunks)
      yield {
        index: chunk.index,
        content: await readChunk(deps, recording, chunk),
        partial: false,
      };
    if (chunks.length > 0) {
      next = (chunks.at(-1)?.index ?? next) + 1;
      giveUpAt = deps.clock.monotonic() + maxWaitMs;
    }
    if (chunks.length === batch) continue;
    const rest = await whatIsLeft(deps, recording.id, next);
    if (rest === 'nothing') return;
    if (rest === 'unknown' || deps.clock.monotonic() > giveUpAt) {
      yield { index: next, content: Buffer.alloc(0), partial: true };
      return;
    }
    await sleep(waitMs, context.signal);
  }
}

/** Whether chunks from `next` on will come: `unknown` while a recording goes on, and where its end was lost. */
async function whatIsLeft(
  deps: Deps,
  id: string,
  next: number,
): Promise<'nothing' | 'chunks' | 'unknown'> {
  const now = await findRecording(deps.database, id);
  if (now?.hasEnded !== true) return 'unknown';
  return now.isComplete && next >= now.chunks ? 'nothing' : 'chunks';
}

/** Missing and not visible look the same. @throws RECORDING_HIDDEN */
async function requireRecording(deps: Deps, viewer: Viewer, id: string): Promise<Recording> {
  const isId = /^(?:rec|ses)_[0-9a-f]{32}$/.test(id);
  const recording = isId ? await findRecording(deps.database, id) : undefined;
  const owner = viewer.ownerFor('recording');
  const isVisible =
    owner === undefined ||
    (recording?.actorKind === 'user' &&
      recording.actorName === owner.name &&
      recording.startedAt >= owner.since);
  if (recording === undefined || !isVisible)
    throw auditError('RECORDING_HIDDEN', { details: { id: id.slice(0, 64) } });
  return recording;
}

async function readChunk(deps: Deps, recording: Recording, chunk: StoredChunk): Promise<Buffer> {
  const content = await deps.objects.get(chunkKey(recording.sessionId, recording.id, chunk.index));
  if (content !== undefined && createHash('sha256').update(content).digest('hex') === chunk.sha256)
    return content;
  deps.logger.error(
    { recordingId: recording.id, index: chunk.index, isMissing: content === undefined },
    'chunk is missing or changed',
  );
  throw auditError('RECORDING_INCOMPLETE');
}
