import { foldName } from '@gatehouse/policy';

import { recordDrafts } from '../audit/record-drafts.js';
import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import { isDynamicTarget } from '../inventory/groups.js';
import { findDocument } from '../store/documents.js';
import { doesAgentServe } from '../store/target-names.js';
import { checkGeneration } from './generation.js';

/** An agent that wants something for a target of its own. */
export interface ServedTargetRequest {
  readonly agentId: string;
  readonly fingerprint: string;
  readonly kind: 'node' | 'database';
  readonly name: string;
  readonly clientAddress: string;
}

/**
 * Agents get certificates for names that they serve, and for no others (TUN-09); another one is audited.
 * @returns the target's name as it is written, and the agent's
 * @throws AGENT_REFUSED, NOT_YOURS
 */
export async function requireServedTarget(
  deps: Deps,
  request: ServedTargetRequest,
): Promise<{ name: string; agentName: string }> {
  const { agent } = await checkGeneration(deps, {
    agentId: request.agentId,
    fingerprint: Buffer.from(request.fingerprint, 'hex'),
  });
  const { kind, clientAddress } = request;
  const db = deps.store.database;
  const folded = foldName(request.name);
  const document = await findDocument(db, kind, folded);
  const isDynamic = document !== undefined && isDynamicTarget(agent, document);
  const isServed = isDynamic || (await doesAgentServe(db, agent.id, { kind, folded }));
  if (document?.ownerGroup === agent.group && isServed)
    return { name: document.name, agentName: agent.name };
  const name = request.name.slice(0, 256);
  const actor = { kind: 'agent', name: agent.name, address: clientAddress };
  const target = { kind, name };
  await recordDrafts(deps, [
    { type: 'connection.refused', actor, target, outcome: 'denied', reason: 'not_yours' },
  ]);
  throw authError('NOT_YOURS', { reason: 'not_yours', details: { name } });
}
