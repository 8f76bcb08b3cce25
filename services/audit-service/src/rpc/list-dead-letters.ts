/** Records that could not be decoded or stored, oldest first. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ListDeadLettersRequest,
  ListDeadLettersResponse,
} from '@gatehouse/proto/audit/v1/audit_service';

import { requireViewer } from '../access/viewer.js';
import type { Context, Deps } from '../deps.js';
import { findDeadLetters } from '../store/dead-letters.js';
import { readLimit } from './limit.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: ListDeadLettersRequest,
  context: Context,
): Promise<ListDeadLettersResponse> {
  const viewer = requireViewer(deps, context);
  viewer.require('read', 'read dead letters');
  const limit = readLimit(request.limit);
  const scope = { user: viewer.name, list: ['dead letters', request.withReplayed] };
  const place = deps.pageTokens.decode(scope, request.pageToken);
  const after = place && { deadMs: Number(place[0]), id: String(place[1]) };
  const { withReplayed } = request;
  const found = await findDeadLetters(deps.database, { withReplayed, after, limit: limit + 1 });
  const page = found.slice(0, limit);
  const last = page.at(-1);
  const hasMore = found.length > limit && last !== undefined;
  return {
    deadLetters: page.map((row) => ({
      id: row.id,
      topic: row.topic,
      reason: row.reason,
      key: row.key,
      bytes: row.value_bytes,
      time: row.dead_at,
      replayedAt: row.replayed_at ?? undefined,
      replayedBy: row.replayed_by ?? '',
    })),
    nextPageToken: hasMore ? deps.pageTokens.encode(scope, [last.dead_at.getTime(), last.id]) : '',
  };
}
