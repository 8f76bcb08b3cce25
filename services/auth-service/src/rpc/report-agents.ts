/** Which agents a tunnel replica holds; for lists only. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ReportAgentsRequest,
  ReportAgentsResponse,
} from '@gatehouse/proto/auth/v1/cluster_service';

import type { Context, Deps } from '../deps.js';
import { requireService } from '../enrollment/require-service.js';
import { reportAgents } from '../inventory/presence.js';

export const callers: readonly CallerRule[] = ['service/tunnel'];

export async function handle(
  deps: Deps,
  request: ReportAgentsRequest,
  context: Context,
): Promise<ReportAgentsResponse> {
  const replicaId = await requireService(deps, context);
  await reportAgents(deps, { replicaId, agentIds: request.agentIds });
  return {};
}
