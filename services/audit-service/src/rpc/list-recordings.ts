/** Recordings, newest first. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ListRecordingsRequest,
  ListRecordingsResponse,
  RecordingSummary,
} from '@gatehouse/proto/audit/v1/audit_service';

import { requireViewer } from '../access/viewer.js';
import type { Context, Deps } from '../deps.js';
import { readFilter } from '../events/filter.js';
import { findRecordings, type Recording } from '../store/recordings.js';
import { readLimit } from './limit.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: ListRecordingsRequest,
  context: Context,
): Promise<ListRecordingsResponse> {
  const viewer = requireViewer(deps, context);
  const { user, target, sessionId } = request;
  const wire = {
    type: '',
    outcome: '',
    text: '',
    from: undefined,
    to: undefined,
    user,
    target,
    sessionId,
  };
  const {
    actorName,
    targetName,
    sessionId: session,
    owner,
  } = readFilter(wire, viewer.ownerFor('recording'));
  const filter = { actorName, targetName, sessionId: session, owner };
  const limit = readLimit(request.limit);
  const scope = { user: viewer.name, list: ['recordings', filter] };
  const place = deps.pageTokens.decode(scope, request.pageToken);
  const before =
    place === undefined ? undefined : { startedMs: Number(place[0]), id: String(place[1]) };
  const found = await findRecordings(deps.database, { ...filter, before, limit: limit + 1 });
  const page = found.slice(0, limit);
  const last = page.at(-1);
  const hasMore = found.length > limit && last !== undefined;
  return {
    recordings: page.map(encodeSummary),
    nextPageToken: hasMore
      ? deps.pageTokens.encode(scope, [last.startedAt.getTime(), last.id])
      : '',
  };
}

function encodeSummary(recording: Recording): RecordingSummary {
  return {
    id: recording.id,
    sessionId: recording.sessionId,
    protocol: recording.protocol,
    user: recording.actorName,
    target: recording.targetName,
    startedAt: recording.startedAt,
    durationMs: BigInt(recording.durationMs),
    bytes: BigInt(recording.bytes),
    complete: recording.isComplete,
  };
}
