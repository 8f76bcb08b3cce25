/**
 * What an agent says of itself over its tunnel (D32). Names belong to its group for as long as it is around, and a day
 * longer; the token's labels are forced on every target; which host to trust is taken at the first registration only.
 */
import type { Deps } from '../deps.js';
import { labelsOf } from '../documents/render.js';
import { checkGeneration } from '../enrollment/generation.js';
import { authError } from '../errors.js';
import { noteAgentSeen, type StoredAgent } from '../store/agents.js';
import { listOwnedTargets, type StoredDocument } from '../store/documents.js';
import type { Db, RecordScope } from '../store/store.js';
import { isDynamicTarget } from './groups.js';
import { noteAgent } from './presence.js';
import type { RegisteredTarget } from './registered-target.js';
import { writeTargets, type TargetRefusal } from './write-targets.js';

export interface Registration {
  readonly agentId: string;
  readonly fingerprint: Buffer;
  readonly targets: readonly RegisteredTarget[];
  readonly dynamic: readonly string[];
  readonly version: string;
  readonly clientAddress: string;
  readonly replicaId: string;
  /** When it showed its certificate. Undefined: now. */
  readonly connectedAt?: Date | undefined;
}

export interface Registered {
  readonly agentName: string;
  readonly group: string;
  readonly refused: readonly TargetRefusal[];
  readonly dynamicTargets: readonly RegisteredTarget[];
}

const maxTargets = 5_000;
const maxGlobs = 100;

/** @throws AGENT_REFUSED (unknown, locked, old generation), AGENT_BUSY, ENROLLMENT_INVALID */
export async function registerAgent(deps: Deps, registration: Registration): Promise<Registered> {
  const { targets, dynamic, agentId } = registration;
  if (targets.length > maxTargets || dynamic.length > maxGlobs) {
    throw authError('ENROLLMENT_INVALID', { details: { why: 'too many targets or globs' } });
  }
  return deps.registrationTurns.run(agentId, async () => register(deps, registration));
}

async function register(deps: Deps, registration: Registration): Promise<Registered> {
  const { targets, dynamic, version, replicaId } = registration;
  const { agent, isPresent } = await checkGeneration(deps, {
    agentId: registration.agentId,
    fingerprint: registration.fingerprint,
    shownAtMs: registration.connectedAt?.getTime(),
  });
  const refused = await writeTargets(deps, agent, targets);
  return deps.store.record(async (scope) => {
    const seen = { isPresentGeneration: isPresent, version: version.slice(0, 64), dynamic };
    await noteAgentSeen(scope.tx, agent.id, { ...seen, now: scope.now });
    for (const one of refused) tellRefusal(deps, scope, { agent, refused: one, registration });
    if (replicaId !== '') await noteAgent(deps, scope, { replicaId, agentId: agent.id });
    const dynamicTargets = await listDynamicTargets(scope.tx, agent);
    return { agentName: agent.name, group: agent.group, refused, dynamicTargets };
  });
}

function tellRefusal(
  deps: Deps,
  scope: RecordScope,
  news: { agent: StoredAgent; refused: TargetRefusal; registration: Registration },
): void {
  const { agent, refused, registration } = news;
  const actor = { kind: 'agent', name: agent.name, address: registration.clientAddress };
  const target = {
    kind: refused.kind.slice(0, 64) || 'node',
    name: refused.name.slice(0, 256),
    agent: agent.id,
  };
  const isTrust = refused.reason === 'trust_changed';
  const draft = {
    type: isTrust ? ('target.trust_changed' as const) : ('connection.refused' as const),
    actor,
    target,
    outcome: 'denied' as const,
    reason: isTrust ? 'trust_changed' : 'not_yours',
    data: { message: refused.reason },
  };
  if (deps.floodGate.admit(draft)) scope.audit(deps.event(draft, scope.now));
}

async function listDynamicTargets(db: Db, agent: StoredAgent): Promise<RegisteredTarget[]> {
  const given = await listOwnedTargets(db, agent.group, 'administrator');
  return given.filter((document) => isDynamicTarget(agent, document)).map(toRegistered);
}

function toRegistered(document: StoredDocument): RegisteredTarget {
  const { protocol, spec } = document.body;
  return {
    kind: document.kind,
    name: document.name,
    labels: labelsOf(document),
    protocol: typeof protocol === 'string' ? protocol : '',
    specJson: JSON.stringify(spec),
  };
}
