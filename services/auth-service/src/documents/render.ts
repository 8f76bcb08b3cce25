/** A stored document as people and services see it. */
import type { StoredDocument } from '../store/documents.js';
import type { JsonObject } from '../store/tables.js';

/** `{kind, version, metadata: {name, …, revision}, spec, …}`. */
export function renderDocument(document: StoredDocument): JsonObject {
  const { metadata, spec, protocol, agent, state } = document.body;
  return {
    kind: document.kind,
    version: 'v1',
    metadata: { name: document.name, ...objectOf(metadata), revision: document.revision },
    ...(protocol === undefined ? {} : { protocol }),
    ...(agent === undefined ? {} : { agent }),
    spec,
    ...(document.kind === 'user'
      ? { state: { ...objectOf(state), createdAt: document.createdAt.toISOString() } }
      : {}),
  };
}

/** The labels of a document; none where it has none. */
export function labelsOf(document: StoredDocument): Readonly<Record<string, string>> {
  return stringMap(objectOf(document.body['metadata'])['labels']);
}

function objectOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function stringMap(value: unknown): Record<string, string> {
  const entries = Object.entries(objectOf(value));
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** A user's document, decoded. */
export interface UserSpec {
  readonly roles: readonly string[];
  readonly traits: Readonly<Record<string, readonly string[]>>;
}

export function userSpecOf(document: StoredDocument): UserSpec {
  const { roles, traits } = objectOf(document.body['spec']);
  const decoded: Record<string, readonly string[]> = {};
  for (const [name, values] of Object.entries(objectOf(traits))) decoded[name] = stringsOf(values);
  return { roles: stringsOf(roles), traits: decoded };
}

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}

/** Logins of this person begun before are refused, ms. */
export function validAfterOf(document: StoredDocument): number {
  const { validAfter } = objectOf(document.body['state']);
  return typeof validAfter === 'string' ? Date.parse(validAfter) : 0;
}
