/** Which of these sessions a proxy has whose lease holds. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  FindLiveSessionsRequest,
  FindLiveSessionsResponse,
} from '@gatehouse/proto/auth/v1/cluster_service';

import type { Context, Deps } from '../deps.js';
import { requireService } from '../enrollment/require-service.js';
import { findLiveSessions } from '../sessions/live-sessions.js';

export const callers: readonly CallerRule[] = ['service/audit'];

export async function handle(
  deps: Deps,
  { ids }: FindLiveSessionsRequest,
  context: Context,
): Promise<FindLiveSessionsResponse> {
  await requireService(deps, context);
  return { live: await findLiveSessions(deps, ids) };
}
