/** A certificate by which an agent logs in to one of its own databases. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  IssueDatabaseCertificateRequest,
  IssueDatabaseCertificateResponse,
} from '@gatehouse/proto/auth/v1/enrollment_service';

import type { Context, Deps } from '../deps.js';
import { issueDatabaseCertificate } from '../enrollment/database-certificate.js';
import { authError } from '../errors.js';

export const callers: readonly CallerRule[] = ['agent'];

export async function handle(
  deps: Deps,
  request: IssueDatabaseCertificateRequest,
  context: Context,
): Promise<IssueDatabaseCertificateResponse> {
  const { caller } = context;
  if (caller.type !== 'agent')
    throw authError('AGENT_REFUSED', { details: { why: 'it is no agent' } });
  const { name, user, publicKey } = request;
  const { id: agentId, fingerprint } = caller;
  return issueDatabaseCertificate(deps, {
    agentId,
    fingerprint,
    name,
    user,
    publicKey,
    clientAddress: context.clientAddress,
  });
}
