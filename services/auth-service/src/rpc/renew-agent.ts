/** A fresh certificate for an agent that has one. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  RenewAgentRequest,
  RenewAgentResponse,
} from '@gatehouse/proto/auth/v1/enrollment_service';

import type { Context, Deps } from '../deps.js';
import { renewAgent } from '../enrollment/enroll-agent.js';
import { authError } from '../errors.js';

export const callers: readonly CallerRule[] = ['agent'];

export async function handle(
  deps: Deps,
  request: RenewAgentRequest,
  context: Context,
): Promise<RenewAgentResponse> {
  const { caller } = context;
  if (caller.type !== 'agent')
    throw authError('AGENT_REFUSED', { details: { why: 'it is no agent' } });
  const { id: agentId, fingerprint } = caller;
  const issued = await renewAgent(deps, { agentId, fingerprint, publicKey: request.publicKey });
  return { ...issued, trust: deps.authorities.trust().bundle };
}
