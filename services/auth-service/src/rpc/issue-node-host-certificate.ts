/** A host certificate for one of an agent's own target names, for its built-in SSH node. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  IssueNodeHostCertificateRequest,
  IssueNodeHostCertificateResponse,
} from '@gatehouse/proto/auth/v1/enrollment_service';

import type { Context, Deps } from '../deps.js';
import { issueNodeHostCertificate } from '../enrollment/node-host-certificate.js';
import { authError } from '../errors.js';

export const callers: readonly CallerRule[] = ['agent'];

export async function handle(
  deps: Deps,
  request: IssueNodeHostCertificateRequest,
  context: Context,
): Promise<IssueNodeHostCertificateResponse> {
  const { caller } = context;
  if (caller.type !== 'agent')
    throw authError('AGENT_REFUSED', { details: { why: 'it is no agent' } });
  const { name, publicKey } = request;
  const { id: agentId, fingerprint } = caller;
  return issueNodeHostCertificate(deps, {
    agentId,
    fingerprint,
    name,
    publicKey,
    clientAddress: context.clientAddress,
  });
}
