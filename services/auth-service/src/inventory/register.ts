/**
 * What an agent says of itself over its tunnel (D32). Names belong to its group for as long as it is around, and a day
 * longer; the token's labels are forced on every target; which host to trust is taken at the first registration only.
 */
import { foldName } from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { canonicalJson } from '../documents/canonical-json.js';
import { trustFields } from '../documents/check-change.js';
import { isTargetKind, labelsSchema, parseTargetSpec } from '../documents/kinds.js';
import { findNameProblem, matchesGlobs } from '../documents/names.js';
import { labelsOf, renderDocument } from '../documents/render.js';
import { checkGeneration } from '../enrollment/generation.js';
import { authError } from '../errors.js';
import { listGroupAgents, noteAgentSeen, type StoredAgent } from '../store/agents.js';
import {
  findDocument,
  listOwnedTargets,
  putDocument,
  removeDocument,
  type StoredDocument,
} from '../store/documents.js';
import type { ChangeScope } from '../store/store.js';
import type { JsonObject } from '../store/tables.js';
import {
  findTargetName,
  putTargetName,
  releaseTargetName,
  replaceServedNames,
  type NameKey,
} from '../store/target-names.js';
import { isDynamicTarget } from './groups.js';
import { noteAgent } from './presence.js';

export interface RegisteredTarget {
  readonly kind: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly protocol: string;
  readonly specJson: string;
}

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

export type RefusalReason = 'name_taken' | 'name_not_allowed' | 'invalid' | 'trust_changed';

export interface Registered {
  readonly agentName: string;
  readonly group: string;
  readonly refused: readonly {
    readonly kind: string;
    readonly name: string;
    readonly reason: RefusalReason;
  }[];
  readonly dynamicTargets: readonly RegisteredTarget[];
}

/** A name is held for its owner so long after the owner was last seen. */
export const holdNamesMs = 24 * 3_600_000;
const maxTargets = 5_000;
const maxGlobs = 100;

/** @throws AGENT_REFUSED (unknown, locked, old generation), ENROLLMENT_INVALID */
export async function registerAgent(deps: Deps, registration: Registration): Promise<Registered> {
  const { targets, dynamic } = registration;
  if (targets.length > maxTargets || dynamic.length > maxGlobs) {
    throw authError('ENROLLMENT_INVALID', { details: { why: 'too many targets or globs' } });
  }
  const { agent, isPresent } = await checkGeneration(deps, {
    agentId: registration.agentId,
    fingerprint: registration.fingerprint,
    shownAtMs: registration.connectedAt?.getTime(),
  });
  return deps.store.change(async (scope) => {
    const seen = {
      isPresentGeneration: isPresent,
      version: registration.version.slice(0, 64),
      dynamic,
      now: scope.now,
    };
    await noteAgentSeen(scope.tx, agent.id, seen);
    const refused: Registered['refused'][number][] = [];
    const taken: NameKey[] = [];
    for (const target of targets) {
      const reason = await takeTarget(deps, scope, { agent, target });
      if (reason !== undefined) refused.push({ kind: target.kind, name: target.name, reason });
      if (reason === undefined || reason === 'trust_changed')
        taken.push({ kind: target.kind, folded: foldName(target.name) });
    }
    await dropOthers(scope, { agent, taken });
    for (const one of refused) tellRefusal(deps, scope, { agent, refused: one, registration });
    if (registration.replicaId !== '')
      await noteAgent(deps, scope, { replicaId: registration.replicaId, agentId: agent.id });
    const dynamicTargets = await listDynamicTargets(scope, agent);
    return { agentName: agent.name, group: agent.group, refused, dynamicTargets };
  });
}

async function takeTarget(
  deps: Deps,
  scope: ChangeScope,
  { agent, target }: { agent: StoredAgent; target: RegisteredTarget },
): Promise<RefusalReason | undefined> {
  const parsed = parseTarget(agent, target);
  if (parsed === undefined) return 'invalid';
  if (!matchesGlobs(agent.names, target.name)) return 'name_not_allowed';
  const key = { kind: target.kind, folded: foldName(target.name) };
  const stored = await findDocument(scope.tx, key.kind, key.folded);
  if (!isReplaceable(stored, { agent, target })) return 'name_taken';
  if (!(await mayTakeName(scope, key, agent.group))) return 'name_taken';
  await putTargetName(scope.tx, key, agent.group);
  return writeParsed(scope, { agent, name: target.name, key, stored, parsed });
}

/** Writes what has changed; other host keys than those of the first registration stay out. */
async function writeParsed(
  scope: ChangeScope,
  entry: Omit<TargetWrite, 'body'> & { readonly parsed: JsonObject },
): Promise<'trust_changed' | undefined> {
  const { parsed, ...write } = entry;
  const own = write.stored?.ownerGroup === write.agent.group ? write.stored.body : undefined;
  const isTrustKept = own !== undefined && !isSameTrust(own, parsed);
  const body = isTrustKept ? keepTrust(own, parsed) : parsed;
  if (canonicalJson(own) !== canonicalJson(body)) await writeTarget(scope, { ...write, body });
  return isTrustKept ? 'trust_changed' : undefined;
}

/** False for one that an administrator made, whoever was to serve it, and for the group's own in another spelling. */
function isReplaceable(
  stored: StoredDocument | undefined,
  { agent, target }: { agent: StoredAgent; target: RegisteredTarget },
): boolean {
  if (stored === undefined) return true;
  const isOther = stored.ownerGroup !== agent.group;
  return stored.origin === 'agent' && (isOther || stored.name === target.name);
}

interface TargetWrite {
  readonly agent: StoredAgent;
  readonly name: string;
  readonly key: NameKey;
  readonly body: JsonObject;
  /** What had the name before, whoever it was. */
  readonly stored: StoredDocument | undefined;
}

async function writeTarget(scope: ChangeScope, write: TargetWrite): Promise<void> {
  const { agent, name, key, body, stored } = write;
  if (stored !== undefined && stored.name !== name) {
    await removeDocument(scope.tx, key.kind, key.folded);
    scope.publish({ kind: key.kind, name: stored.name });
  }
  const written = await putDocument(scope.tx, {
    ...key,
    name,
    revision: (stored?.revision ?? 0) + 1,
    body,
    origin: 'agent',
    ownerGroup: agent.group,
    now: scope.now,
  });
  scope.publish({ kind: key.kind, name, body: renderDocument(written) });
}

/** The document that a registration makes, or undefined where it is not valid. */
function parseTarget(agent: StoredAgent, target: RegisteredTarget): JsonObject | undefined {
  if (!isTargetKind(target.kind) || findNameProblem(target.name) !== undefined) return undefined;
  const labels = labelsSchema.safeParse({ ...target.labels, ...agent.labels });
  if (!labels.success) return undefined;
  try {
    const value: unknown = JSON.parse(target.specJson === '' ? '{}' : target.specJson);
    if (typeof value !== 'object' || value === null || target.specJson.includes('\\u0000'))
      return undefined;
    const { protocol, spec } = parseTargetSpec(
      target.kind,
      { ...value },
      target.protocol === '' ? undefined : target.protocol,
    );
    return { metadata: { labels: labels.data }, protocol, agent: agent.group, spec };
  } catch {
    return undefined;
  }
}

/** Free, the group's own, or held for somebody who has not been seen for a day. */
async function mayTakeName(scope: ChangeScope, key: NameKey, group: string): Promise<boolean> {
  const held = await findTargetName(scope.tx, key);
  if (held === undefined || held.group === group) return true;
  const before = scope.now.getTime() - holdNamesMs;
  if (held.releasedAtMs !== undefined && held.releasedAtMs >= before) return false;
  const owners = await listGroupAgents(scope.tx, held.group);
  const isAround = owners.some((owner) => (owner.lastSeenAtMs ?? owner.createdAtMs) >= before);
  return !isAround || held.releasedAtMs !== undefined;
}

function trustOf(body: JsonObject): JsonObject {
  const spec = objectOf(body['spec']);
  return Object.fromEntries(trustFields.map((field) => [field, spec[field]]));
}

function isSameTrust(a: JsonObject, b: JsonObject): boolean {
  return canonicalJson(trustOf(a)) === canonicalJson(trustOf(b));
}

function keepTrust(old: JsonObject, next: JsonObject): JsonObject {
  return { ...next, spec: { ...objectOf(next['spec']), ...trustOf(old) } };
}

function objectOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** Targets that the agent no longer names, and nobody else of its group does, leave the inventory; their names are held. */
async function dropOthers(
  scope: ChangeScope,
  { agent, taken }: { agent: StoredAgent; taken: readonly NameKey[] },
): Promise<void> {
  for (const key of await replaceServedNames(scope.tx, agent.id, taken)) {
    if (taken.some((one) => one.kind === key.kind && one.folded === key.folded)) continue;
    const stored = await findDocument(scope.tx, key.kind, key.folded);
    if (stored?.ownerGroup !== agent.group || stored.origin !== 'agent') continue;
    await removeDocument(scope.tx, key.kind, key.folded);
    await releaseTargetName(scope.tx, key, scope.now);
    scope.publish({ kind: key.kind, name: stored.name });
  }
}

function tellRefusal(
  deps: Deps,
  scope: ChangeScope,
  news: { agent: StoredAgent; refused: Registered['refused'][number]; registration: Registration },
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

async function listDynamicTargets(
  scope: ChangeScope,
  agent: StoredAgent,
): Promise<RegisteredTarget[]> {
  const owned = await listOwnedTargets(scope.tx, agent.group);
  return owned.filter((document) => isDynamicTarget(agent, document)).map(toRegistered);
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
