/** Who asks, and whether they may see what others did. */
import { checkSourceAddress, type Identity } from '@gatehouse/identity';
import type { AuditActor } from '@gatehouse/kit/event-log';
import { findLock, findUnreadableLock, mayAdminister, type Role } from '@gatehouse/policy';

import type { Context, Deps } from '../deps.js';
import { auditError } from '../errors.js';
import type { Owner } from '../events/filter.js';

/** A person who may ask: login alive, not locked. */
export interface Viewer {
  readonly name: string;
  readonly actor: AuditActor;
  /** Undefined: sees everything of this kind; else only what this person did. */
  ownerFor(kind: 'event' | 'recording'): Owner | undefined;
  /** May this person do `verb` to events? @throws AUDIT_DENIED */
  require(verb: 'read' | 'update', what: string): void;
}

/** @throws AUDIT_LOGIN_ENDED, AUDIT_LOCKED, AUDIT_NOT_READY, SOURCE_ADDRESS */
export function requireViewer(
  deps: Pick<Deps, 'policy' | 'clock'>,
  context: Pick<Context, 'caller' | 'clientAddress'>,
): Viewer {
  const { policy } = deps;
  const { caller, clientAddress } = context;
  if (!policy.isReady()) throw auditError('AUDIT_NOT_READY');
  // A certificate with a route leads to its target alone.
  if (caller.type !== 'user' || caller.identity.route !== undefined)
    throw auditError('AUDIT_LOGIN_ENDED', { reason: 'wrong_kind' });
  const { identity } = caller;
  const refusal = caller.notAfterMs <= deps.clock.now() ? 'expired' : policy.refusalOf(identity);
  if (refusal !== undefined) throw auditError('AUDIT_LOGIN_ENDED', { reason: refusal });
  checkSourceAddress(identity, clientAddress);
  const roles = policy.rolesOf(identity);
  const roleNames = roles.map((role) => role.name);
  refuseLocked(deps, identity, roleNames);
  refuseUnreadable(deps, roles);
  const since = new Date(policy.user(identity.user)?.createdAtMs ?? deps.clock.now());
  return {
    name: identity.user,
    actor: {
      kind: 'user',
      name: identity.user,
      roles: roleNames,
      loginId: identity.loginId,
      address: clientAddress,
    },
    ownerFor: (kind) =>
      mayAdminister(roles, kind, 'read') ? undefined : { name: identity.user, since },
    require: (verb, what) => {
      if (!mayAdminister(roles, 'event', verb))
        throw auditError('AUDIT_DENIED', { details: { what } });
    },
  };
}

/** A lock that is not understood may name anybody, but somebody has to mend it. */
function refuseUnreadable(deps: Pick<Deps, 'policy'>, roles: readonly Role[]): void {
  const lock = findUnreadableLock(deps.policy.locks());
  if (lock === undefined || mayAdminister(roles, 'lock', 'delete')) return;
  throw auditError('AUDIT_LOCKED', { reason: 'locked', details: { message: lock.message } });
}

function refuseLocked(
  deps: Pick<Deps, 'policy' | 'clock'>,
  identity: Identity,
  roles: readonly string[],
): void {
  const subject = {
    user: identity.user,
    roles,
    loginId: identity.loginId,
    requests: identity.requests ?? [],
  };
  const lock = findLock(deps.policy.locks(), subject, deps.clock.now());
  if (lock !== undefined)
    throw auditError('AUDIT_LOCKED', { reason: 'locked', details: { message: lock.message } });
}
