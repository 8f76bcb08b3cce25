import type { Role } from './role.js';

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

export const administrationVerbs = ['read', 'create', 'update', 'delete', 'review', 'end'] as const;

/** `read` covers lists; `review` is for access requests, `end` for live sessions. */
export type AdministrationVerb = (typeof administrationVerbs)[number];

/** May these roles do `verb` to documents of `kind`? Nothing is allowed by default; a deny rule wins. */
export function mayAdminister(
  roles: readonly Role[],
  kind: AdministrationKind,
  verb: AdministrationVerb,
): boolean {
  throw new Error(`not yet: ${roles.length} ${kind} ${verb}`);
}
