/** A host certificate for a built-in node. */
import { issueHostCertificate, nodePrincipals } from '../certificates/host-certificates.js';
import type { Deps } from '../deps.js';
import { requireServedTarget, type ServedTargetRequest } from './served-target.js';

export interface NodeHostRequest extends Omit<ServedTargetRequest, 'kind'> {
  readonly publicKey: Buffer;
}

/** @throws AGENT_REFUSED, NOT_YOURS, KEY_REFUSED */
export async function issueNodeHostCertificate(
  deps: Deps,
  { publicKey, ...request }: NodeHostRequest,
): Promise<{ certificate: Buffer; validUntil: Date }> {
  const { name } = await requireServedTarget(deps, { ...request, kind: 'node' });
  return issueHostCertificate(deps, {
    subject: name,
    principals: nodePrincipals(deps, name),
    publicKey,
  });
}
