/** Keeps a replica's lease and reports its sessions. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ReportSessionsRequest,
  ReportSessionsResponse,
} from '@gatehouse/proto/auth/v1/cluster_service';

import type { Context, Deps } from '../deps.js';
import { requireService } from '../enrollment/require-service.js';
import { reportSessions } from '../sessions/live-sessions.js';

export const callers: readonly CallerRule[] = ['service/proxy'];

export async function handle(
  deps: Deps,
  request: ReportSessionsRequest,
  context: Context,
): Promise<ReportSessionsResponse> {
  const replicaId = await requireService(deps, context);
  const { ended, complete, maxSessions, takenAt, afterId, untilId } = request;
  const started = request.started.map(({ replica: _replica, startedAt, ...session }) => ({
    ...session,
    replicaId,
    startedAt: startedAt ?? new Date(deps.clock.now()),
  }));
  const { refused, leaseUntil } = await reportSessions(deps, {
    replicaId,
    started,
    ended,
    complete,
    maxSessions,
    part: {
      ...(takenAt === undefined ? {} : { before: takenAt }),
      ...(afterId === '' ? {} : { afterId }),
      ...(untilId === '' ? {} : { untilId }),
    },
  });
  return { refused: [...refused], leaseUntil };
}
