/** An agent's certificate on a one-use join token. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  EnrollAgentRequest,
  EnrollAgentResponse,
} from '@gatehouse/proto/auth/v1/enrollment_service';

import type { Context, Deps } from '../deps.js';
import { enrollAgent } from '../enrollment/enroll-agent.js';

export const callers: readonly CallerRule[] = ['anonymous'];

export async function handle(
  deps: Deps,
  request: EnrollAgentRequest,
  context: Context,
): Promise<EnrollAgentResponse> {
  const { token, name, publicKey, group } = request;
  const { clientAddress } = context;
  const enrolled = await enrollAgent(deps, { token, name, publicKey, group, clientAddress });
  const { agentId, certificate, validUntil } = enrolled;
  return {
    agentId,
    certificate,
    validUntil,
    agentGroup: enrolled.group,
    trust: deps.authorities.trust().bundle,
  };
}
