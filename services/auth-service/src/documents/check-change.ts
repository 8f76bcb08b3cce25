/** What each kind asks of a new or changed document, and what the service adds to it. */
import { findLock, foldName, parseLock, type Lock } from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import { findAgent, findAgentByName, listGroupAgents, type StoredAgent } from '../store/agents.js';
import { findDocuments, listDocuments, type StoredDocument } from '../store/documents.js';
import type { ChangeScope, Db } from '../store/store.js';
import type { DocumentOrigin, JsonObject } from '../store/tables.js';
import { findTargetName, putTargetNames } from '../store/target-names.js';
import { loadLocks, type Person } from '../users/person.js';
import { canonicalJson } from './canonical-json.js';
import { isTargetKind } from './kinds.js';
import { resolveLockTarget } from './lock-target.js';
import { matchesGlobs } from './names.js';
import type { ParsedDocument } from './parse.js';
import { userSpecOf } from './render.js';

export interface PreparedChange {
  readonly body: JsonObject;
  readonly ownerGroup?: string;
  readonly origin?: DocumentOrigin;
}

interface Change {
  readonly document: ParsedDocument;
  readonly stored: StoredDocument | undefined;
  readonly person: Person;
}

/** @throws what stands against the change */
export async function prepareChange(
  deps: Deps,
  scope: ChangeScope,
  change: Change,
): Promise<PreparedChange> {
  const { document, stored } = change;
  if (document.kind === 'user') return prepareUser(scope, change);
  if (document.kind === 'lock') return prepareLock(scope, change);
  if (!isTargetKind(document.kind)) return { body: document.body };
  if (stored?.origin === 'agent') return prepareAgentTarget(document, stored);
  return prepareDynamicTarget(deps, scope, document);
}

async function prepareUser(
  scope: ChangeScope,
  { document, stored }: Change,
): Promise<PreparedChange> {
  const spec = userSpecOf({ ...emptyDocument, body: document.body });
  const wanted = [...new Set(spec.roles)];
  await requireRoles(scope.tx, wanted);
  if (
    stored !== undefined &&
    userSpecOf(stored).roles.includes('admin') &&
    !wanted.includes('admin')
  ) {
    await refuseLastAdministrator(scope.tx, stored.name);
  }
  // A person who is made anew must not be reached by certificates of one who had the name before.
  const state = stored?.body['state'] ?? { validAfter: scope.now.toISOString() };
  return { body: { ...document.body, spec: { roles: wanted, traits: spec.traits }, state } };
}

const emptyDocument = {
  kind: 'user',
  name: '',
  folded: '',
  revision: 0,
  origin: 'administrator',
  ownerGroup: undefined,
  createdAt: new Date(0),
} as const;

/** @throws DOCUMENT_INVALID where a role does not exist */
export async function requireRoles(db: Db, names: readonly string[]): Promise<void> {
  const found = await findDocuments(db, 'role', names.map(foldName));
  const missing = names.find((name) => !found.some((role) => role.name === name));
  if (missing !== undefined) {
    throw authError('DOCUMENT_INVALID', {
      details: { problems: `spec.roles: no role "${missing}"` },
    });
  }
}

/** @throws LAST_ADMINISTRATOR where nobody but `name` has the role */
export async function refuseLastAdministrator(db: Db, name: string): Promise<void> {
  const users = await listDocuments(db, { kinds: ['user'] });
  const others = users.filter(
    (user) => user.name !== name && userSpecOf(user).roles.includes('admin'),
  );
  if (others.length === 0) throw authError('LAST_ADMINISTRATOR');
}

/** Nobody could lift it. @throws LAST_ADMINISTRATOR where a lock leaves no administrator who is not locked */
async function refuseLockingAll(scope: ChangeScope, lock: Lock): Promise<void> {
  const locks = [...(await loadLocks(scope.tx)), lock];
  const users = await listDocuments(scope.tx, { kinds: ['user'] });
  const isFree = users.some((user) => {
    const { roles } = userSpecOf(user);
    if (!roles.includes('admin')) return false;
    return findLock(locks, { user: user.name, roles }, scope.now.getTime()) === undefined;
  });
  if (!isFree) throw authError('LAST_ADMINISTRATOR');
}

async function prepareLock(
  scope: ChangeScope,
  { document, stored }: Change,
): Promise<PreparedChange> {
  const lock = parseLock({
    kind: 'lock',
    version: 'v1',
    metadata: { name: document.name },
    spec: document.body['spec'],
  });
  if (lock.expiresAtMs !== undefined && lock.expiresAtMs <= scope.now.getTime())
    throw authError('LOCK_PAST');
  await refuseLockingAll(scope, lock);
  const createdAt = objectOf(stored?.body['spec'])['created_at'] ?? scope.now.toISOString();
  const spec = objectOf(document.body['spec']);
  const target = await resolveLockTarget(scope.tx, objectOf(spec['target']));
  return { body: { ...document.body, spec: { ...spec, target, created_at: createdAt } } };
}

function objectOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** Fields of a target's spec that say which host is the right one. */
export const trustFields = ['host_ca', 'host_key'] as const;

/** A target that its agent describes: only what host to trust may be changed, or taken over from the agent's news (D32). */
function prepareAgentTarget(document: ParsedDocument, stored: StoredDocument): PreparedChange {
  const { kind, name } = document;
  if (canonicalJson(withoutTrust(document.body)) !== canonicalJson(withoutTrust(stored.body))) {
    const why = `only ${trustFields.join(' and ')} may be changed here`;
    throw authError('MANAGED_BY_AGENT', { details: { kind, name, why } });
  }
  const body = { ...document.body, agent: stored.body['agent'] };
  return {
    body,
    origin: 'agent',
    ...(stored.ownerGroup === undefined ? {} : { ownerGroup: stored.ownerGroup }),
  };
}

function withoutTrust(body: JsonObject): JsonObject {
  const spec = objectOf(body['spec']);
  for (const field of trustFields) Reflect.deleteProperty(spec, field);
  return { metadata: body['metadata'], protocol: body['protocol'], spec };
}

/** A target that an administrator gives to an agent; the agent's own configuration must allow the name. */
async function prepareDynamicTarget(
  deps: Deps,
  scope: ChangeScope,
  document: ParsedDocument,
): Promise<PreparedChange> {
  const { kind, name, folded } = document;
  const wanted = document.agent ?? '';
  const agents = await findOwners(scope.tx, wanted);
  const [owner] = agents;
  if (owner === undefined) throw authError('AGENT_UNKNOWN', { details: { agent: wanted } });
  const isAllowed = agents.some(
    (agent) => agent.dynamic.length > 0 && matchesGlobs(agent.dynamic, name),
  );
  if (!isAllowed || !matchesGlobs(owner.names, name)) {
    throw authError('TARGET_NOT_ALLOWED', { details: { agent: wanted, kind, name } });
  }
  const held = await findTargetName(scope.tx, { kind, folded });
  if (held !== undefined && held.group !== owner.group && held.releasedAtMs === undefined) {
    throw authError('DOCUMENT_EXISTS', { details: { kind, name } });
  }
  await putTargetNames(scope.tx, [{ kind, folded }], owner.group);
  const body = {
    ...document.body,
    metadata: withForcedLabels(document.body, owner),
    agent: owner.group,
  };
  return { body, ownerGroup: owner.group };
}

function withForcedLabels(body: JsonObject, owner: StoredAgent): JsonObject {
  const metadata = objectOf(body['metadata']);
  return { ...metadata, labels: { ...objectOf(metadata['labels']), ...owner.labels } };
}

/** Agents that a document means: by name, id or group. */
async function findOwners(db: Db, wanted: string): Promise<StoredAgent[]> {
  if (wanted === '') return [];
  const one = (await findAgentByName(db, foldName(wanted))) ?? (await findAgent(db, wanted));
  return one === undefined ? listGroupAgents(db, wanted) : listGroupAgents(db, one.group);
}
