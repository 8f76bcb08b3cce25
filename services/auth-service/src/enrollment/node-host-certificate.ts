import { foldName } from '@gatehouse/policy';

import { recordDrafts } from '../audit/record-drafts.js';
/** A host certificate for a built-in node: an agent gets one for names that it serves, and for no others (TUN-09). */
import { issueHostCertificate, nodePrincipals } from '../certificates/host-certificates.js';
import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import { isDynamicTarget } from '../inventory/groups.js';
import { findDocument } from '../store/documents.js';
import { doesAgentServe } from '../store/target-names.js';
import { checkGeneration } from './generation.js';

export interface NodeHostRequest {
  readonly agentId: string;
  readonly fingerprint: string;
  readonly name: string;
  readonly publicKey: Buffer;
  readonly clientAddress: string;
}

/** @throws AGENT_REFUSED, NOT_YOURS, KEY_REFUSED */
export async function issueNodeHostCertificate(
  deps: Deps,
  request: NodeHostRequest,
): Promise<{ certificate: Buffer; validUntil: Date }> {
  const { agent } = await checkGeneration(deps, {
    agentId: request.agentId,
    fingerprint: Buffer.from(request.fingerprint, 'hex'),
  });
  const db = deps.store.database;
  const folded = foldName(request.name);
  const document = await findDocument(db, 'node', folded);
  const isDynamic = document !== undefined && isDynamicTarget(agent, document);
  const isServed = isDynamic || (await doesAgentServe(db, agent.id, { kind: 'node', folded }));
  if (document?.ownerGroup !== agent.group || !isServed) {
    const name = request.name.slice(0, 256);
    const actor = { kind: 'agent', name: agent.name, address: request.clientAddress };
    const target = { kind: 'node', name };
    await recordDrafts(deps, [
      { type: 'connection.refused', actor, target, outcome: 'denied', reason: 'not_yours' },
    ]);
    throw authError('NOT_YOURS', { reason: 'not_yours', details: { name } });
  }
  const { publicKey } = request;
  return issueHostCertificate(deps, {
    subject: document.name,
    principals: nodePrincipals(deps, document.name),
    publicKey,
  });
}
