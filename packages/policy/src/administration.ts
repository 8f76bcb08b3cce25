/** `rules` of roles: who may do what to documents, sessions, recordings and events through the API. */
import type { Role } from './role.js';

/** All kinds, for schemas. */
export const administrationKinds = [
  'user',
  'role',
  'token',
  'oidc_connector',
  'saml_connector',
  'github_connector',
  'cluster_auth_preference',
  'lock',
  'access_request',
  'node',
  'kube_cluster',
  'database',
  'app',
  'desktop',
  'trusted_cluster',
  'bot',
  'agent',
  'session',
  'recording',
  'event',
  'certificate_authority',
] as const;

/** Kinds that rules speak of: the documents, and agents, live sessions, recordings, audit events, CAs. */
export type AdministrationKind = (typeof administrationKinds)[number];

/** All verbs, for schemas. */
export const administrationVerbs = ['read', 'create', 'update', 'delete', 'review', 'end'] as const;

/** `read` covers lists; `review` is for access requests, `end` for live sessions. */
export type AdministrationVerb = (typeof administrationVerbs)[number];

/** One of a role's `rules`; `*` stands for every kind or verb. */
export interface AdministrationRule {
  readonly kinds: readonly (AdministrationKind | '*')[];
  readonly verbs: readonly (AdministrationVerb | '*')[];
}

/** May these roles do `verb` to documents of `kind`? Nothing is allowed by default; a deny rule wins. */
export function mayAdminister(
  roles: readonly Role[],
  kind: AdministrationKind,
  verb: AdministrationVerb,
): boolean {
  const covers = (rule: AdministrationRule) =>
    (rule.kinds.includes(kind) || rule.kinds.includes('*')) &&
    (rule.verbs.includes(verb) || rule.verbs.includes('*'));
  if (roles.some((role) => role.deny.rules.some(covers))) return false;
  return roles.some((role) => role.allow.rules.some(covers));
}
