/**
 * An agent's certificates are generations (D17): once a newer one was shown, an older one in use means that somebody has
 * a copy, and locks the agent.
 */
import { createId } from '@gatehouse/kit/ids';
import { findLock } from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { renderDocument } from '../documents/render.js';
import { authError } from '../errors.js';
import { systemActor } from '../events.js';
import { findAgent, type StoredAgent } from '../store/agents.js';
import { putDocument } from '../store/documents.js';
import type { Db } from '../store/store.js';
import { loadLocks } from '../users/person.js';

/** So long after a renewal the one before may still be shown: two tunnels do not change over at one moment. */
const overlapMs = 10 * 60_000;

export interface ShownCertificate {
  readonly agentId: string;
  readonly fingerprint: Buffer;
  /** When it was shown; a tunnel that stands since before the renewal is no misuse. Default: now. */
  readonly shownAtMs?: number | undefined;
}

/**
 * The agent that showed a certificate.
 * @throws AGENT_REFUSED for an unknown or locked agent, and for an old generation, which is locked then
 */
export async function checkGeneration(
  deps: Deps,
  { agentId, fingerprint, shownAtMs = deps.clock.now() }: ShownCertificate,
): Promise<{ agent: StoredAgent; isPresent: boolean }> {
  const agent = await requireAgent(deps.store.database, agentId);
  const locks = await loadLocks(deps.store.database);
  const agents = [agent.id, agent.group, agent.name];
  const lock = findLock(locks, { agents }, deps.clock.now());
  if (lock !== undefined)
    throw authError('AGENT_REFUSED', {
      reason: 'locked',
      details: { why: `locked: ${lock.message}` },
    });
  if (fingerprint.equals(agent.fingerprint)) return { agent, isPresent: true };
  const isPrevious =
    agent.previousFingerprint !== undefined && fingerprint.equals(agent.previousFingerprint);
  const isOverlap = !agent.isGenerationSeen || shownAtMs - agent.renewedAtMs < overlapMs;
  if ((isPrevious && isOverlap) || shownAtMs < agent.renewedAtMs)
    return { agent, isPresent: false };
  await lockAgent(deps, agent);
  throw authError('AGENT_REFUSED', {
    reason: 'old_generation',
    details: { why: 'its certificate was replaced by a newer one' },
  });
}

/** @throws AGENT_REFUSED */
export async function requireAgent(db: Db, id: string): Promise<StoredAgent> {
  const agent = await findAgent(db, id);
  if (agent !== undefined) return agent;
  const details = { why: 'it is not known here' };
  throw authError('AGENT_REFUSED', { reason: 'unknown_agent', details });
}

async function lockAgent(deps: Deps, agent: StoredAgent): Promise<void> {
  await deps.store.change(async (scope) => {
    const name = createId('lck', scope.now.getTime());
    const message = `an old certificate of agent ${agent.name} was used; join it anew`;
    const spec = { target: { agent: agent.id }, message, created_at: scope.now.toISOString() };
    const write = {
      kind: 'lock',
      name,
      folded: name,
      revision: 1,
      body: { metadata: {}, spec },
      origin: 'administrator' as const,
    };
    const written = await putDocument(scope.tx, { ...write, now: scope.now });
    scope.publish({ kind: 'lock', name, body: renderDocument(written) });
    const target = { kind: 'agent', name: agent.name, agent: agent.id };
    const base = { actor: systemActor, target, reason: 'old_generation' };
    scope.audit(deps.event({ ...base, type: 'connection.refused', outcome: 'denied' }, scope.now));
    scope.audit(
      deps.event(
        { ...base, type: 'lock.created', outcome: 'success', data: { name, spec } },
        scope.now,
      ),
    );
  });
}
