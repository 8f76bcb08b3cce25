import type { RoleDocument } from './role.js';

/**
 * The roles every cluster has. `admin` changes everything but reaches no target; `access` reaches every target with
 * the principals of the person's own traits, and may forward ports, since who may log in everywhere gains nothing
 * more by it; `auditor` reads events, recordings and live sessions; `approver` reviews access requests.
 */
export function builtinRoles(): readonly RoleDocument[] {
  return [
    role('admin', 'Manages everything in the cluster.', {
      allow: { rules: [{ kinds: ['*'], verbs: ['*'] }] },
    }),
    role('access', "Reaches every target, as the person's traits say.", {
      options: { port_forwarding: 'both', file_transfer: 'both' },
      allow: {
        logins: ['{{internal.logins}}'],
        node_labels: { '*': '*' },
        kubernetes_groups: ['{{internal.kubernetes_groups}}'],
        kubernetes_labels: { '*': '*' },
        kubernetes_resources: [{ kind: '*', namespace: '*', name: '*', verbs: ['*'] }],
        db_labels: { '*': '*' },
        db_names: ['{{internal.db_names}}'],
        db_users: ['{{internal.db_users}}'],
        app_labels: { '*': '*' },
        desktop_labels: { '*': '*' },
        desktop_logins: ['{{internal.desktop_logins}}'],
      },
    }),
    role('auditor', 'Reads events, recordings and live sessions.', {
      allow: { rules: [{ kinds: ['event', 'recording', 'session'], verbs: ['read'] }] },
    }),
    role('approver', 'Reviews access requests.', {
      allow: { rules: [{ kinds: ['access_request'], verbs: ['read', 'review'] }] },
    }),
  ];
}

function role(name: string, description: string, spec: RoleDocument['spec']): RoleDocument {
  return { kind: 'role', version: 'v1', metadata: { name, description }, spec };
}
