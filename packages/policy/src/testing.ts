/** Roles and targets of the acceptance scenarios' standing environment, for tests. */
import { builtinRoles } from './builtin-roles.js';
import { parseRole, type Role, type RoleDocument } from './role.js';
import type { PolicyTarget, TargetKind } from './target.js';

/** The roles dev, prod-root and dba, as scenarios.md writes them. */
export function standingRoleDocuments(): readonly RoleDocument[] {
  return [
    roleDocument('dev', {
      options: { max_session_ttl: '8h', port_forwarding: 'both', file_transfer: 'both' },
      allow: {
        logins: ['deploy'],
        node_labels: { env: 'staging' },
        kubernetes_groups: ['viewers'],
        kubernetes_labels: { env: 'staging' },
        kubernetes_resources: [
          {
            kind: 'pods',
            namespace: 'web-*',
            name: '*',
            verbs: ['get', 'list', 'watch', 'create', 'delete', 'exec', 'portforward'],
          },
        ],
        db_labels: { env: 'staging' },
        db_names: ['app'],
        db_users: ['reader'],
        app_labels: { env: 'staging' },
        desktop_labels: { env: 'staging' },
        desktop_logins: ['desk1', 'alice'],
        request: {
          roles: ['prod-root'],
          thresholds: [{ approve: 2, deny: 1 }],
          max_duration: '4h',
        },
      },
    }),
    roleDocument('prod-root', { allow: { logins: ['root'], node_labels: { env: 'prod' } } }),
    roleDocument('dba', {
      options: { audit: 'strict' },
      allow: {
        db_labels: { env: 'prod' },
        db_names: ['orders'],
        db_users: ['reader'],
        db_statements: ['select', 'show', 'explain'],
      },
    }),
  ];
}

/** A role document around a `spec`. */
export function roleDocument(name: string, spec: RoleDocument['spec']): RoleDocument {
  return { kind: 'role', version: 'v1', metadata: { name }, spec };
}

/** Standing and built-in roles by name. */
export function parseStandingRoles(names: readonly string[]): readonly Role[] {
  const documents = [...standingRoleDocuments(), ...builtinRoles()];
  return names.map((name) => {
    const document = documents.find((candidate) => candidate.metadata.name === name);
    if (document === undefined) throw new Error(`no standing role ${name}`);
    return parseRole(document);
  });
}

/** A target with labels. */
export function createTarget(
  name: string,
  labels: Readonly<Record<string, string>>,
  kind: TargetKind = 'node',
): PolicyTarget {
  return { kind, name, labels };
}
