/** Reading documents, by the roles' rules. */
import { foldName } from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import { findAgent, findAgentByName, listAgents, type StoredAgent } from '../store/agents.js';
import { findDocument, listDocuments } from '../store/documents.js';
import { listJoinTokens, type StoredJoinToken } from '../store/join-tokens.js';
import type { JsonObject } from '../store/tables.js';
import { requireRule, type Person } from '../users/person.js';
import { readSecondFactorRule, preferenceName } from '../users/preference.js';
import { requireKind, type KnownKind } from './kinds.js';
import { decodePageToken, encodePageToken } from './page-token.js';
import { renderDocument } from './render.js';

/** @throws KIND_UNKNOWN, NOT_ALLOWED, DOCUMENT_MISSING */
export async function getDocument(
  deps: Deps,
  person: Person,
  wanted: { kind: string; name: string },
): Promise<JsonObject> {
  const kind = requireKind(wanted.kind);
  // Oneself is no secret.
  if (!(kind === 'user' && wanted.name === person.name)) requireRule(person, kind, 'read');
  const document = await findRendered(deps, kind, wanted.name);
  if (document !== undefined) return document;
  throw authError('DOCUMENT_MISSING', { details: { kind, name: wanted.name.slice(0, 256) } });
}

async function findRendered(
  deps: Deps,
  kind: KnownKind,
  name: string,
): Promise<JsonObject | undefined> {
  const db = deps.store.database;
  if (kind === 'agent') {
    const agent = (await findAgentByName(db, foldName(name))) ?? (await findAgent(db, name));
    return agent === undefined ? undefined : renderAgent(agent);
  }
  if (kind === 'token') {
    const tokens = await listJoinTokens(db, new Date(deps.clock.now()));
    return tokens.filter((token) => token.id === name).map(renderToken)[0];
  }
  const isPreference = kind === 'cluster_auth_preference';
  const document = await findDocument(db, kind, isPreference ? preferenceName : foldName(name));
  if (document !== undefined) return renderDocument(document);
  return isPreference ? defaultPreference(await readSecondFactorRule(db)) : undefined;
}

export interface DocumentListRequest {
  readonly kind: string;
  readonly pageSize: number;
  readonly pageToken: string;
}

const maxPage = 1_000;

/** @throws KIND_UNKNOWN, NOT_ALLOWED, PAGE_TOKEN */
export async function listDocumentPage(
  deps: Deps,
  person: Person,
  request: DocumentListRequest,
): Promise<{ documents: JsonObject[]; nextPageToken: string }> {
  const kind = requireKind(request.kind);
  requireRule(person, kind, 'read');
  const db = deps.store.database;
  if (kind === 'agent')
    return { documents: (await listAgents(db)).map(renderAgent), nextPageToken: '' };
  if (kind === 'token') {
    const tokens = await listJoinTokens(db, new Date(deps.clock.now()));
    return { documents: tokens.map(renderToken), nextPageToken: '' };
  }
  const scope = { user: person.name, list: `documents ${kind}` };
  const [after] = decodePageToken(deps.keyring, scope, request.pageToken) ?? [];
  const limit = Math.min(request.pageSize > 0 ? request.pageSize : 100, maxPage);
  const cursor = after === undefined ? {} : { after: { kind, folded: after } };
  const found = await listDocuments(db, { kinds: [kind], ...cursor, limit: limit + 1 });
  const page = found.slice(0, limit);
  const last = page.at(-1);
  const nextPageToken =
    found.length > limit && last !== undefined
      ? encodePageToken(deps.keyring, scope, [last.folded])
      : '';
  if (page.length === 0 && kind === 'cluster_auth_preference') {
    return { documents: [defaultPreference(await readSecondFactorRule(db))], nextPageToken };
  }
  return { documents: page.map(renderDocument), nextPageToken };
}

function defaultPreference(rule: string): JsonObject {
  const metadata = { name: preferenceName, revision: 0 };
  return {
    kind: 'cluster_auth_preference',
    version: 'v1',
    metadata,
    spec: { second_factor: rule },
  };
}

function renderAgent(agent: StoredAgent): JsonObject {
  const { id, name, group, labels, names, dynamic, version, lastSeenAtMs } = agent;
  const lastSeen =
    lastSeenAtMs === undefined ? {} : { last_seen_at: new Date(lastSeenAtMs).toISOString() };
  return {
    kind: 'agent',
    version: 'v1',
    metadata: { name, revision: agent.generation },
    spec: { id, group, labels, names, dynamic },
    state: { version, created_at: new Date(agent.createdAtMs).toISOString(), ...lastSeen },
  };
}

/** A token without its secret, which nobody has any more. */
function renderToken(token: StoredJoinToken): JsonObject {
  const { id, labels, names, group, createdBy, expiresAtMs } = token;
  const expires = new Date(expiresAtMs).toISOString();
  return {
    kind: 'token',
    version: 'v1',
    metadata: { name: id, revision: 1 },
    spec: { type: 'agent', labels, names, group, created_by: createdBy, expires_at: expires },
  };
}
