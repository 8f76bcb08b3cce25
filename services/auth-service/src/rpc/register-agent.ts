/** What an agent says of itself over its tunnel. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  RegisterAgentRequest,
  RegisterAgentResponse,
} from '@gatehouse/proto/auth/v1/cluster_service';

import type { Context, Deps } from '../deps.js';
import { requireService } from '../enrollment/require-service.js';
import { registerAgent } from '../inventory/register.js';

export const callers: readonly CallerRule[] = ['service/tunnel'];

export async function handle(
  deps: Deps,
  request: RegisterAgentRequest,
  context: Context,
): Promise<RegisterAgentResponse> {
  const replicaId = await requireService(deps, context);
  const { certificateFingerprint: fingerprint, ...rest } = request;
  const registered = await registerAgent(deps, { ...rest, fingerprint, replicaId });
  const { agentName, group, refused, dynamicTargets } = registered;
  const dynamic = dynamicTargets.map((target) => ({ ...target, labels: { ...target.labels } }));
  return { agentName, group, refused: [...refused], dynamicTargets: dynamic };
}
