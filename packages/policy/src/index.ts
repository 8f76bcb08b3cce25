export { administrationKinds, administrationVerbs, mayAdminister } from './administration.js';
export type { AdministrationKind, AdministrationVerb } from './administration.js';
export { builtinRoles } from './builtin-roles.js';
export {
  canSee,
  decideAccess,
  isLoginAllowedAnywhere,
  loginOptions,
  loginTtlMs,
  loginsAnywhere,
  principalsFor,
} from './decision.js';
export type {
  AccessRequest,
  Decision,
  Denial,
  DenialReason,
  Permission,
  SightRequest,
} from './decision.js';
export { policyErrors } from './errors.js';
export type { StatementRule, StatementRules } from './evaluation.js';
export { explainAccess } from './explain.js';
export { foldName } from './fold-name.js';
export { findLock, findUnreadableLock, parseLock, readLock } from './lock.js';
export type { Lock, LockSubject, LockTarget } from './lock.js';
export { defaultRoleOptions } from './role-options.js';
export type { RoleOptions } from './role-options.js';
export { parseRole } from './role.js';
export type { Role, RoleDocument } from './role.js';
export type { PolicyTarget, TargetKind, Traits } from './target.js';
