/** Who calls: a person's certificate read against what the cluster says now. */
import { effectiveRoles, type Identity } from '@gatehouse/identity';
import { toGatehouseError, type GatehouseError } from '@gatehouse/kit/errors';
import type { AuditActor } from '@gatehouse/kit/event-log';
import { idTime } from '@gatehouse/kit/ids';
import {
  findLock,
  findUnreadableLock,
  foldName,
  mayAdminister,
  readLock,
  type AdministrationKind,
  type AdministrationVerb,
  type Lock,
  type Role,
  type Traits,
} from '@gatehouse/policy';

import { recordRefusal } from '../audit/refusals.js';
import type { Context, Deps } from '../deps.js';
import { renderDocument, userSpecOf, validAfterOf } from '../documents/render.js';
import { authError } from '../errors.js';
import { findDocument, findDocuments, listDocuments } from '../store/documents.js';
import { findLogin, type StoredLogin } from '../store/logins.js';
import type { Db } from '../store/store.js';

/** A person who may act: not locked, not reset, login not ended. */
export interface Person {
  readonly name: string;
  readonly identity: Identity;
  readonly login: StoredLogin;
  /** Roles of the certificate that the person still has (D15). */
  readonly roleNames: readonly string[];
  readonly roles: readonly Role[];
  /** Those of today, whatever the certificate says: proxies decide by them too. */
  readonly traits: Traits;
  readonly actor: AuditActor;
}

/** The caller as a person; a refusal is audited. @throws LOGIN_ENDED, PERSON_LOCKED, CERTIFICATE_SOURCE */
export async function requirePerson(deps: Deps, context: Context): Promise<Person> {
  const { caller, clientAddress } = context;
  // A certificate with a route leads to its target, and administers nothing.
  if (caller.type !== 'user' || caller.identity.route !== undefined)
    throw authError('LOGIN_ENDED', { reason: 'wrong_kind' });
  try {
    checkSource(caller.identity, clientAddress);
    return await resolvePerson(deps, caller.identity, clientAddress);
  } catch (thrown) {
    const error = toGatehouseError(thrown);
    const { user: name, loginId } = caller.identity;
    const actor = { kind: 'user', name, loginId, address: clientAddress };
    if (error.kind !== 'internal') await recordRefusal(deps, { actor, error });
    throw error;
  }
}

function checkSource({ sourceIp }: Identity, clientAddress: string): void {
  if (sourceIp === undefined || sourceIp === ipOf(clientAddress)) return;
  throw authError('CERTIFICATE_SOURCE', {
    reason: 'source_ip',
    details: { address: ipOf(clientAddress) },
  });
}

/** The same for an identity that was proven otherwise. @throws LOGIN_ENDED, PERSON_LOCKED, ROLE_UNREADABLE */
export async function resolvePerson(
  deps: Deps,
  identity: Identity,
  address?: string,
): Promise<Person> {
  const db = deps.store.database;
  const document = await findDocument(db, 'user', foldName(identity.user));
  if (document?.name !== identity.user) throw authError('LOGIN_ENDED', { reason: 'no_such_user' });
  const login = await findLogin(db, identity.loginId);
  const nowMs = deps.clock.now();
  if (login?.user !== identity.user || login.ended !== undefined || login.expiresAtMs <= nowMs) {
    throw authError('LOGIN_ENDED', { reason: 'logged_out' });
  }
  if (idTime(identity.loginId) < validAfterOf(document))
    throw authError('LOGIN_ENDED', { reason: 'reset' });
  const { roles: presentRoles, traits } = userSpecOf(document);
  const roleNames = effectiveRoles(identity, presentRoles);
  const roles = await loadRoles(deps, db, roleNames);
  const locks = await refuseLocked(deps, {
    user: identity.user,
    roles: roleNames,
    loginId: identity.loginId,
    requests: identity.requests ?? [],
  });
  refuseUnreadable(locks, roles);
  const actor: AuditActor = {
    kind: 'user',
    name: identity.user,
    roles: roleNames,
    loginId: identity.loginId,
    ...(address === undefined ? {} : { address }),
  };
  return { name: identity.user, identity, login, roleNames, roles, traits, actor };
}

/**
 * Compiled roles in the order of their names; those that are missing grant nothing.
 * @throws ROLE_UNREADABLE: what a role that is not understood denies and bounds is not known
 */
export async function loadRoles(
  deps: Pick<Deps, 'roles'>,
  db: Db,
  names: readonly string[],
): Promise<Role[]> {
  const documents = await findDocuments(db, 'role', names.map(foldName));
  const byName = new Map(documents.map((document) => [document.name, document]));
  const found = names.map((name) => byName.get(name)).filter((document) => document !== undefined);
  return found.map((document) => {
    const role = deps.roles.compile(document);
    if (role !== undefined) return role;
    throw authError('ROLE_UNREADABLE', {
      reason: 'role_unreadable',
      details: { role: document.name },
    });
  });
}

/** All locks, in force or not. */
export async function loadLocks(db: Db): Promise<Lock[]> {
  const documents = await listDocuments(db, { kinds: ['lock'] });
  return documents.map((document) => readLock(renderDocument(document), document.name));
}

/** Gives all locks. @throws PERSON_LOCKED with the lock's message */
export async function refuseLocked(
  deps: Deps,
  subject: Parameters<typeof findLock>[1],
): Promise<readonly Lock[]> {
  const locks = await loadLocks(deps.store.database);
  const lock = findLock(locks, subject, deps.clock.now());
  if (lock !== undefined) throw personLocked(lock);
  return locks;
}

/** A lock that is not understood may name anybody, but somebody has to mend it. @throws PERSON_LOCKED */
export function refuseUnreadable(locks: readonly Lock[], roles: readonly Role[]): void {
  const lock = findUnreadableLock(locks);
  if (lock !== undefined && !mayAdminister(roles, 'lock', 'delete')) throw personLocked(lock);
}

function personLocked({ message }: Lock): GatehouseError {
  return authError('PERSON_LOCKED', { reason: 'locked', details: { message } });
}

/** @throws NOT_ALLOWED */
export function requireRule(
  person: Person,
  kind: AdministrationKind,
  verb: AdministrationVerb,
): void {
  if (mayAdminister(person.roles, kind, verb)) return;
  throw authError('NOT_ALLOWED', { reason: 'no_rule', details: { user: person.name, verb, kind } });
}

/** The address without its port; IPv4-mapped addresses as plain IPv4. */
export function ipOf(address: string): string {
  const bare =
    /^\[(.*)\]:\d+$/.exec(address)?.[1] ??
    (/^[^:]*:\d+$/.test(address) ? address.replace(/:\d+$/, '') : address);
  return bare.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}
