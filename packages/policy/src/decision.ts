import type { Lock, LockSubject } from './lock.js';
import type { RoleOptions } from './role-options.js';
import type { Role } from './role.js';
import type { PolicyTarget, Traits } from './target.js';

/** A question: may this person use this target as this principal? */
export interface AccessRequest {
  readonly user: string;
  readonly roles: readonly Role[];
  readonly traits: Traits;
  readonly target: PolicyTarget;
  /** Login, database user or desktop login; ignored for kinds without principals (app, kube_cluster). */
  readonly principal: string;
  /** Name of the database; needed for kind `database`, where an unknown one matches no `db_names`. */
  readonly database?: string;
  readonly locks: readonly Lock[];
  /** What else a lock may name: agent, replica, loginId, requests. */
  readonly lockSubject?: Pick<
    LockSubject,
    'agent' | 'replica' | 'loginId' | 'requests' | 'mfaDevice'
  >;
  readonly nowMs: number;
}

export type DenialReason = 'no_role' | 'login_not_allowed_here' | 'denied_by' | 'locked';

export interface Denial {
  readonly allowed: false;
  /** The reason word of the audit event. */
  readonly reason: DenialReason;
  /** Whether the person may know that the target exists; if not, the refusal is the *hidden* text. */
  readonly visible: boolean;
  /** With `denied_by`: the role whose deny block it was. */
  readonly role?: string;
  /** With `locked`: the lock, whose message is shown. */
  readonly lock?: Lock;
}

export interface Permission {
  readonly allowed: true;
  /** Names of the allowing roles. */
  readonly roles: readonly string[];
  readonly options: RoleOptions;
}

export type Decision = Permission | Denial;

/** The one decision: locks, then visibility, then deny, then allow. */
export function decideAccess(request: AccessRequest): Decision {
  throw new Error(`not yet: ${request.user}`);
}

/** Whose eyes and which target. */
export interface SightRequest {
  readonly roles: readonly Role[];
  readonly traits: Traits;
  readonly target: PolicyTarget;
}

/** May the person know that the target exists? One role's labels match and no deny does, or a rule lets them read the kind. */
export function canSee(request: SightRequest): boolean {
  throw new Error(`not yet: ${request.target.name}`);
}

/** Principals that the person may use on the target and that can be listed (patterns can't), sorted. */
export function principalsFor(request: SightRequest): string[] {
  throw new Error(`not yet: ${request.target.name}`);
}

/** Logins that some role allows on some node and that can be listed, sorted. */
export function loginsAnywhere(roles: readonly Role[], traits: Traits): string[] {
  throw new Error(`not yet: ${roles.length} ${typeof traits}`);
}

/** Does some role allow `login` on some node? Patterns count. For the upstream certificate, where no target is known. */
export function isLoginAllowedAnywhere(
  roles: readonly Role[],
  traits: Traits,
  login: string,
): boolean {
  throw new Error(`not yet: ${roles.length} ${typeof traits} ${login}`);
}

/** The strictest options over all roles: what a login and its certificates follow. */
export function loginOptions(roles: readonly Role[]): RoleOptions {
  throw new Error(`not yet: ${roles.length}`);
}

/** Longest life of a login in ms: the shortest `max_session_ttl` over all roles, else 12 h. */
export function loginTtlMs(roles: readonly Role[]): number {
  return loginOptions(roles).maxSessionTtlMs;
}
