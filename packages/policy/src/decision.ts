/**
 * The one decision: locks on the person, then whether the target may be seen, then locks on what is asked for, then
 * deny, then allow. Whoever may not see the target learns nothing about it, not even that it is locked.
 */
import { mayAdminister } from './administration.js';
import {
  deniesLoginEverywhere,
  evaluateRole,
  hasMatchingLabels,
  statementRulesOf,
  type Question,
  type RoleEvaluation,
  type StatementRules,
} from './evaluation.js';
import { findLock, type Lock, type LockSubject } from './lock.js';
import { listTexts, matchAnyPattern } from './pattern.js';
import { mergeRoleOptions, type RoleOptions } from './role-options.js';
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
  /** What else a lock may name: agents, replica, loginId, requests, mfaDevice. */
  readonly lockSubject?: Pick<
    LockSubject,
    'agents' | 'replica' | 'loginId' | 'requests' | 'mfaDevice'
  >;
  readonly nowMs: number;
}

/** Why not. */
export type DenialReason = 'no_role' | 'login_not_allowed_here' | 'denied_by' | 'locked';

/** No, and what may be said about it. */
export interface Denial {
  readonly allowed: false;
  /** The reason word of the audit event. */
  readonly reason: DenialReason;
  /** Whether the person may know that the target exists; if not, the refusal is the *hidden* text. Always true for locks. */
  readonly visible: boolean;
  /** With `denied_by`: the role whose deny block it was. */
  readonly role?: string;
  /** With `locked`: the lock, whose message is shown. */
  readonly lock?: Lock;
}

/** Yes, by which roles and with which options. */
export interface Permission {
  readonly allowed: true;
  /** Names of the allowing roles. */
  readonly roles: readonly string[];
  readonly options: RoleOptions;
  /** Of a session to a database. */
  readonly statements: StatementRules;
}

/** The answer. */
export type Decision = Permission | Denial;

/** Decides; see the head of this file for the order. */
export function decideAccess(request: AccessRequest): Decision {
  return decideFrom(request, evaluateRoles(request));
}

/** What each role says, in the order of the request. */
export function evaluateRoles(request: AccessRequest): readonly RoleEvaluation[] {
  const question: Question = { ...request, database: request.database };
  return request.roles.map((role) => evaluateRole(role, question));
}

/** The decision that follows from what each role says. */
export function decideFrom(
  request: AccessRequest,
  evaluations: readonly RoleEvaluation[],
): Decision {
  const personLock = findLock(request.locks, personOf(request), request.nowMs);
  if (personLock !== undefined) return lockedBy(personLock);
  const visible = canSee(request);
  const unseen = denyUnseen(evaluations, visible);
  if (unseen !== undefined) return unseen;
  const lock = findLock(request.locks, objectOf(request), request.nowMs);
  if (lock !== undefined) return lockedBy(lock);
  const denying = evaluations.find((evaluation) => evaluation.denies);
  if (denying !== undefined) return deniedBy(denying.role, visible);
  const allowing = evaluations.filter((evaluation) => evaluation.labels && evaluation.principal);
  if (allowing.length === 0) return { allowed: false, reason: 'login_not_allowed_here', visible };
  return {
    allowed: true,
    roles: allowing.map(({ role }) => role.name),
    options: mergeRoleOptions(allowing.map(({ role }) => role.options)),
    statements: statementRulesOf(evaluations, { ...request, database: request.database }),
  };
}

/** The refusal of a target that no role shows, or that a deny hides. */
function denyUnseen(evaluations: readonly RoleEvaluation[], visible: boolean): Denial | undefined {
  if (!evaluations.some((evaluation) => evaluation.labels)) {
    return { allowed: false, reason: 'no_role', visible };
  }
  const hiding = evaluations.find((evaluation) => evaluation.hides);
  return hiding && deniedBy(hiding.role, visible);
}

function deniedBy(role: Role, visible: boolean): Denial {
  return { allowed: false, reason: 'denied_by', visible, role: role.name };
}

function lockedBy(lock: Lock): Denial {
  return { allowed: false, reason: 'locked', visible: true, lock };
}

function personOf(request: AccessRequest): LockSubject {
  const { agents: _agents, ...subject } = request.lockSubject ?? {};
  return { ...subject, user: request.user, roles: request.roles.map((role) => role.name) };
}

function objectOf(request: AccessRequest): LockSubject {
  const agents = request.lockSubject?.agents;
  return {
    login: request.principal,
    target: request.target.name,
    ...(agents === undefined ? {} : { agents }),
  };
}

/** Whose eyes and which target. */
export interface SightRequest {
  readonly roles: readonly Role[];
  readonly traits: Traits;
  readonly target: PolicyTarget;
}

/**
 * May the person know that the target exists? One role's labels match and no deny covers the whole target, or a rule
 * lets them read documents of the kind.
 */
export function canSee(request: SightRequest): boolean {
  return mayAdminister(request.roles, request.target.kind, 'read') || isInReach(request);
}

/** One role's labels match and no deny covers the whole target. */
function isInReach(request: SightRequest): boolean {
  const question = { ...request, principal: '', database: undefined };
  return (
    request.roles.some((role) => hasMatchingLabels(role, question)) &&
    !request.roles.some((role) => evaluateRole(role, question).hides)
  );
}

/**
 * Principals that the person may use on the target and that can be listed, sorted: globs and regular expressions allow
 * but are not listed. Locks are not considered.
 */
export function principalsFor(request: SightRequest): string[] {
  const { roles, traits, target } = request;
  if (!isInReach(request)) return [];
  const texts = roles
    .filter((role) => hasMatchingLabels(role, request))
    .flatMap((role) => listTexts(role.allow.kinds[target.kind].principals ?? [], traits));
  const isDeniedHere = (principal: string) =>
    roles.some(
      (role) =>
        role.deny.kinds[target.kind].names === undefined &&
        evaluateRole(role, { traits, target, principal, database: undefined }).denies,
    );
  return sortedUnique(texts).filter((principal) => !isDeniedHere(principal));
}

/** Logins that some role allows on some node and that can be listed, sorted. */
export function loginsAnywhere(roles: readonly Role[], traits: Traits): string[] {
  const logins = roles.flatMap((role) => listTexts(loginPatterns(role), traits));
  return sortedUnique(logins).filter((login) => isLoginAllowedAnywhere(roles, traits, login));
}

/**
 * Does some role allow `login` on some node? Globs and regular expressions count. For the upstream certificate, which
 * is issued where no target is known.
 */
export function isLoginAllowedAnywhere(
  roles: readonly Role[],
  traits: Traits,
  login: string,
): boolean {
  return (
    roles.some((role) => matchAnyPattern(loginPatterns(role), login, traits) === true) &&
    !roles.some((role) => deniesLoginEverywhere(role, login, traits))
  );
}

function loginPatterns(role: Role) {
  const { labels, principals } = role.allow.kinds.node;
  return labels !== undefined && labels.keys.length > 0 ? (principals ?? []) : [];
}

function sortedUnique(texts: readonly string[]): string[] {
  return [...new Set(texts)].toSorted();
}

/** The strictest options over all roles, whatever they allow: what a login and its certificates follow. */
export function loginOptions(roles: readonly Role[]): RoleOptions {
  return mergeRoleOptions(roles.map((role) => role.options));
}

/** Longest life of a login in ms: the shortest `max_session_ttl` over all roles, else 12 h. */
export function loginTtlMs(roles: readonly Role[]): number {
  return loginOptions(roles).maxSessionTtlMs;
}
