/** May this person open this target? One decision for every protocol and every way in. */
import { identityError, type Identity } from '@gatehouse/identity';
import type { Clock } from '@gatehouse/kit/clock';
import type { GatehouseError } from '@gatehouse/kit/errors';
import type { PolicyView, TargetRecord } from '@gatehouse/membership';
import {
  decideAccess,
  findLock,
  foldName,
  principalsFor,
  type AccessRequest,
  type Denial,
  type RoleOptions,
  type StatementRules,
  type TargetKind,
} from '@gatehouse/policy';
import { hostError } from '@gatehouse/protocol-api';

import { proxyError } from '../errors.js';

/** What is asked for. */
export interface AdmissionRequest {
  readonly identity: Identity;
  readonly target: string;
  readonly principal: string;
  /** Of a target with several. */
  readonly database?: string | undefined;
  /** Kinds of targets that the way in can lead to. */
  readonly kinds: readonly TargetKind[];
  /** Of an open session: the agent that it goes through. */
  readonly agentId?: string | undefined;
}

export interface Admitted {
  readonly allowed: true;
  readonly target: TargetRecord;
  readonly roles: readonly string[];
  readonly options: RoleOptions;
  readonly statements: StatementRules;
}

export interface Refused {
  readonly allowed: false;
  /** For the event; the person may be told less. */
  readonly reason: string;
  readonly error: GatehouseError;
  readonly target?: TargetRecord;
  /** With `denied_by`: whose deny block. */
  readonly role?: string;
}

export interface AdmissionDeps {
  readonly policy: PolicyView;
  readonly clock: Clock;
  readonly replicaId: string;
}

/** Decides. Missing and denied cost the same work and look the same to the person (RBC-01). */
export function admit(deps: AdmissionDeps, request: AdmissionRequest): Admitted | Refused {
  const gone = deps.policy.refusalOf(request.identity);
  if (gone !== undefined) return refuseLogin(gone);
  if (!isOnRoute(request)) return refuseRoute(request);
  const found = deps.policy.target(request.kinds, request.target);
  const question = toQuestion(deps, request, found);
  const decision = decideAccess(question);
  if (found === undefined) {
    if (!decision.allowed && decision.reason === 'locked')
      return refuseDecision(request, decision, {});
    return { allowed: false, reason: 'no_target', error: hidden(request, 'no_target') };
  }
  if (!decision.allowed)
    return refuseDecision(request, decision, {
      target: found,
      principals: principalsFor(question),
    });
  return (
    refuseByOptions(deps, decision.options, found) ?? {
      allowed: true,
      target: found,
      roles: decision.roles,
      options: decision.options,
      statements: decision.statements,
    }
  );
}

/** What an option asks for and this proxy can't give now is a no, never a yes without it. */
function refuseByOptions(
  deps: AdmissionDeps,
  options: RoleOptions,
  target: TargetRecord,
): Refused | undefined {
  if (options.lockMode === 'strict' && deps.policy.isStale()) {
    return {
      allowed: false,
      reason: 'stale_view',
      target,
      error: proxyError('POLICY_STALE', { reason: 'stale_view' }),
    };
  }
  if (options.requireSessionMfa) {
    return {
      allowed: false,
      reason: 'mfa',
      target,
      error: proxyError('SESSION_MFA_NEEDED', { reason: 'mfa' }),
    };
  }
  // Roles from before this was refused when they are applied. Inspecting such a session would be the opposite.
  if (target.kind === 'node' && options.sshSession === 'end_to_end') {
    return {
      allowed: false,
      reason: 'end_to_end',
      target,
      error: proxyError('END_TO_END_NOT_AVAILABLE', { reason: 'end_to_end' }),
    };
  }
  return undefined;
}

/** A target that is not there is asked about all the same, so that the answer takes as long. */
function toQuestion(
  deps: AdmissionDeps,
  request: AdmissionRequest,
  found: TargetRecord | undefined,
): AccessRequest {
  const { policy, clock, replicaId } = deps;
  const { identity, principal, database, kinds } = request;
  return {
    user: identity.user,
    roles: policy.rolesOf(identity),
    traits: policy.user(identity.user)?.traits ?? identity.traits,
    target: found ?? { kind: kinds[0] ?? 'node', name: request.target, labels: {} },
    principal,
    ...(database === undefined ? {} : { database }),
    locks: policy.locks(),
    lockSubject: {
      agents: lockableAgents(deps, found?.agent ?? '', request.agentId),
      replica: replicaId,
      loginId: identity.loginId,
      requests: identity.requests ?? [],
    },
    nowMs: clock.now(),
  };
}

/**
 * Names of agents whose lock is one on the session: the group of the target, and the agent that the session goes through.
 * A new one can go through any agent of the group, so that locks on them count only where all are locked.
 */
function lockableAgents(
  { policy, clock }: AdmissionDeps,
  group: string,
  agentId: string | undefined,
): string[] {
  if (agentId !== undefined) return [group, agentId, policy.agent(agentId)?.name ?? agentId];
  const all = policy.agents(group).map(({ id, name }) => [id, name]);
  const locks = policy.locks();
  const areLocked = all.every((agents) => findLock(locks, { agents }, clock.now()) !== undefined);
  return [group, ...(areLocked ? all.flat() : [])];
}

function hidden(request: AdmissionRequest, reason: string): GatehouseError {
  return hostError('TARGET_HIDDEN', { details: { target: request.target }, reason });
}

function refuseDecision(
  request: AdmissionRequest,
  denial: Denial,
  known: { target?: TargetRecord; principals?: readonly string[] },
): Refused {
  const { reason, role, lock } = denial;
  const base = {
    allowed: false as const,
    reason,
    ...(known.target === undefined ? {} : { target: known.target }),
    ...(role === undefined ? {} : { role }),
  };
  if (lock !== undefined)
    return { ...base, error: hostError('LOCKED', { reason, details: { message: lock.message } }) };
  if (reason !== 'login_not_allowed_here' || !denial.visible)
    return { ...base, error: hidden(request, reason) };
  const have = known.principals ?? [];
  const { identity, principal: login, target, database } = request;
  const details = { user: identity.user, login, target };
  const remedy = have.length === 0 ? {} : { remedy: `you have: ${have.join(', ')}` };
  const error =
    database === undefined
      ? hostError('LOGIN_NOT_ALLOWED', { reason, details, ...remedy })
      : hostError('DATABASE_NOT_ALLOWED', { reason, details: { ...details, database }, ...remedy });
  return { ...base, error };
}

/** A certificate with a route is good for nothing else: its key lies in a file for a program to use. */
function isOnRoute({ identity, target, principal, database, kinds }: AdmissionRequest): boolean {
  const { route } = identity;
  if (route === undefined) return true;
  return (
    kinds.some((kind) => kind === route.kind) &&
    foldName(route.name) === foldName(target) &&
    (route.user === undefined || principal === '' || principal === route.user) &&
    (route.database === undefined || database === undefined || database === route.database)
  );
}

function refuseRoute({ identity: { route }, target }: AdmissionRequest): Refused {
  const reason = 'route';
  const parts = [route?.name, route?.database, route?.user].filter((part) => part !== undefined);
  const details = { route: parts.join(', '), target };
  return { allowed: false, reason, error: hostError('ROUTE_DIFFERS', { reason, details }) };
}

const loginRefusals = {
  no_such_user: 'its user is gone',
  logged_out: 'its login has ended',
  reset: 'it was issued before the last reset',
} as const;

function refuseLogin(reason: keyof typeof loginRefusals): Refused {
  return {
    allowed: false,
    reason,
    error: identityError('CERTIFICATE_REFUSED', {
      reason,
      details: { why: loginRefusals[reason] },
    }),
  };
}
