/** What a person may see of the inventory, and why (RBC-07, D33). */
import {
  canSee,
  decideAccess,
  explainAccess,
  foldName,
  mayAdminister,
  principalsFor,
  type PolicyTarget,
  type Role,
  type Traits,
} from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { canonicalJson } from '../documents/canonical-json.js';
import { isTargetKind, targetKinds, type TargetDocumentKind } from '../documents/kinds.js';
import { decodePageToken, encodePageToken } from '../documents/page-token.js';
import { labelsOf, userSpecOf } from '../documents/render.js';
import { authError } from '../errors.js';
import { listAgents, listPresence } from '../store/agents.js';
import { findDocument, listDocuments, type StoredDocument } from '../store/documents.js';
import { loadLocks, loadRoles, requireRule, type Person } from '../users/person.js';
import { presenceMs } from './presence.js';

export interface TargetListRequest {
  /** Empty: all. */
  readonly kind: string;
  readonly search: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface VisibleTarget {
  readonly kind: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly online: boolean;
  readonly principals: string[];
}

const maxPage = 1_000;
const readChunk = 500;

/** Targets that the person may see, page by page. Neither counts nor page ends tell of others. @throws KIND_UNKNOWN, PAGE_TOKEN */
export async function listVisibleTargets(
  deps: Deps,
  person: Person,
  request: TargetListRequest,
): Promise<{ targets: VisibleTarget[]; nextPageToken: string }> {
  const kinds = requireTargetKinds(request.kind);
  const scope = { user: person.name, list: describeList(request) };
  const [kind, folded] = decodePageToken(deps.keyring, scope, request.pageToken) ?? [];
  const after = kind === undefined || folded === undefined ? undefined : { kind, folded };
  const limit = Math.min(request.pageSize > 0 ? request.pageSize : 500, maxPage);
  const online = await onlineGroups(deps);
  const targets: VisibleTarget[] = [];
  let last: StoredDocument | undefined;
  for await (const document of readTargets(deps, kinds, after)) {
    const seen = seeTarget(person, document, request);
    if (seen === undefined) continue;
    if (last !== undefined && targets.length === limit) {
      const nextPageToken = encodePageToken(deps.keyring, scope, [last.kind, last.folded]);
      return { targets, nextPageToken };
    }
    targets.push({ ...seen, online: online.has(document.ownerGroup ?? '') });
    last = document;
  }
  return { targets, nextPageToken: '' };
}

function requireTargetKinds(kind: string): readonly string[] {
  if (kind === '') return targetKinds;
  if (isTargetKind(kind)) return [kind];
  throw authError('KIND_UNKNOWN', {
    details: { kind: kind.slice(0, 64), known: targetKinds.join(', ') },
  });
}

/** A page token is good for one list with its filters. */
function describeList({ kind, search, labels }: TargetListRequest): string {
  return canonicalJson({ list: 'targets', kind, search, labels });
}

async function* readTargets(
  deps: Deps,
  kinds: readonly string[],
  start: { kind: string; folded: string } | undefined,
): AsyncGenerator<StoredDocument> {
  let after = start;
  for (;;) {
    const cursor = after === undefined ? {} : { after };
    const chunk = await listDocuments(deps.store.database, { kinds, ...cursor, limit: readChunk });
    yield* chunk;
    after = chunk.at(-1);
    if (after === undefined || chunk.length < readChunk) return;
  }
}

function seeTarget(
  person: Person,
  document: StoredDocument,
  filter: TargetListRequest,
): Omit<VisibleTarget, 'online'> | undefined {
  const labels = labelsOf(document);
  if (!matchesFilter(document.name, labels, filter)) return undefined;
  const target = policyTarget(document);
  if (target === undefined) return undefined;
  const sight = { roles: person.roles, traits: person.traits, target };
  if (!canSee(sight) && !mayAdminister(person.roles, target.kind, 'read')) return undefined;
  return { kind: document.kind, name: document.name, labels, principals: principalsFor(sight) };
}

function matchesFilter(
  name: string,
  labels: Readonly<Record<string, string>>,
  filter: TargetListRequest,
): boolean {
  for (const [key, value] of Object.entries(filter.labels)) {
    if (key === 'name' ? name !== value : labels[key] !== value) return false;
  }
  const text = filter.search.toLowerCase();
  const all = [name, ...Object.entries(labels).map(([key, value]) => `${key}=${value}`)];
  return text === '' || all.some((one) => one.toLowerCase().includes(text));
}

/** A target as the policy sees it. */
function policyTarget(document: StoredDocument): PolicyTarget | undefined {
  if (!isTargetKind(document.kind)) return undefined;
  return { kind: document.kind, name: document.name, labels: labelsOf(document) };
}

/** Agent groups of which an agent is connected now. */
async function onlineGroups(deps: Deps): Promise<ReadonlySet<string>> {
  const since = deps.clock.now() - presenceMs;
  const present = new Set<string>();
  for (const { agentId, seenAtMs } of await listPresence(deps.store.database)) {
    if (seenAtMs >= since) present.add(agentId);
  }
  const agents = await listAgents(deps.store.database);
  return new Set(agents.filter((agent) => present.has(agent.id)).map((agent) => agent.group));
}

export interface ExplainRequest {
  readonly user: string;
  readonly kind: string;
  readonly target: string;
  readonly login: string;
}

export interface Explanation {
  readonly allowed: boolean;
  readonly reason: string;
  readonly lines: readonly string[];
}

/** Why somebody may or may not use a target. For people who may read users and roles. @throws NOT_ALLOWED, DOCUMENT_MISSING */
export async function explain(
  deps: Deps,
  person: Person,
  request: ExplainRequest,
): Promise<Explanation> {
  requireRule(person, 'user', 'read');
  requireRule(person, 'role', 'read');
  const db = deps.store.database;
  const user = await findDocument(db, 'user', foldName(request.user));
  if (user === undefined)
    throw authError('DOCUMENT_MISSING', {
      details: { kind: 'user', name: request.user.slice(0, 256) },
    });
  const kind: TargetDocumentKind = isTargetKind(request.kind) ? request.kind : 'node';
  const document = await findDocument(db, kind, foldName(request.target));
  const target = document === undefined ? undefined : policyTarget(document);
  if (target === undefined)
    return { allowed: false, reason: 'no_target', lines: [`no ${kind} "${request.target}"`] };
  const { roles: names, traits } = userSpecOf(user);
  const question = await askAs(deps, {
    user: user.name,
    names,
    traits,
    target,
    principal: request.login,
  });
  const decision = decideAccess(question);
  return {
    allowed: decision.allowed,
    reason: decision.allowed ? '' : decision.reason,
    lines: explainAccess(question),
  };
}

async function askAs(
  deps: Deps,
  as: {
    user: string;
    names: readonly string[];
    traits: Traits;
    target: PolicyTarget;
    principal: string;
  },
) {
  const roles: Role[] = await loadRoles(deps, deps.store.database, as.names);
  const locks = await loadLocks(deps.store.database);
  const { user, traits, target, principal } = as;
  return { user, roles, traits, target, principal, locks, nowMs: deps.clock.now() };
}
