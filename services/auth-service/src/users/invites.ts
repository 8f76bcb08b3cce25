/**
 * Links: one use, 24 h, one text for every reason not to take one (LOG-16). An invitation sets a password and an
 * authenticator; accepting it uses up no time step, so the first login can follow at once.
 */
import { createId } from '@gatehouse/kit/ids';
import { foldName } from '@gatehouse/policy';

import { recordDrafts } from '../audit/record-drafts.js';
import type { Deps } from '../deps.js';
import { findNameProblem } from '../documents/names.js';
import { renderDocument, userSpecOf } from '../documents/render.js';
import { authError } from '../errors.js';
import { systemActor, unknownActor } from '../events.js';
import { putCredential } from '../store/credentials.js';
import {
  findDocument,
  listDocuments,
  putDocument,
  type StoredDocument,
} from '../store/documents.js';
import {
  findInvite,
  insertInvite,
  revokeInvites,
  takeInvite,
  type StoredInvite,
} from '../store/invites.js';
import type { ChangeScope, Db } from '../store/store.js';
import { countLoginFailure, refuseSlowedAddress } from './lockout.js';
import { checkPassword } from './passwords.js';
import { readSecondFactorRule } from './preference.js';
import { sealTotpSecret } from './second-factor.js';
import { createToken, hashToken, isTokenShape } from './tokens.js';
import { createTotpSecret, totpUri } from './totp.js';

/** A link as it is shown once. */
export interface InviteLink {
  readonly token: string;
  readonly url: string;
  readonly expiresAt: Date;
}

/** Roles of the first administrator. */
const firstRoles = ['admin', 'access'];

/** True once somebody has the role `admin`. */
async function hasAdministrator(db: Db): Promise<boolean> {
  const users = await listDocuments(db, { kinds: ['user'] });
  return users.some((user) => userSpecOf(user).roles.includes('admin'));
}

/**
 * A link for the first administrator; revokes earlier ones. Undefined once there is an administrator.
 * @param logins OS users that the first administrator may log in as
 */
export async function createFirstInvite(
  deps: Deps,
  logins: readonly string[],
): Promise<InviteLink | undefined> {
  return deps.store.change(async (scope) => {
    if (await hasAdministrator(scope.tx)) return undefined;
    await revokeInvites(scope.tx, { purpose: 'first_administrator' });
    const traits = logins.length === 0 ? {} : { logins };
    return insertLink(deps, scope, {
      purpose: 'first_administrator',
      user: undefined,
      roles: firstRoles,
      traits,
    });
  });
}

/** A link that lets a person set everything; revokes the person's earlier ones. */
export async function createUserLink(
  deps: Deps,
  scope: ChangeScope,
  link: { readonly user: string; readonly purpose: 'invite' | 'reset' },
): Promise<InviteLink> {
  await revokeInvites(scope.tx, { user: link.user });
  return insertLink(deps, scope, { ...link, roles: [], traits: {} });
}

async function insertLink(
  deps: Deps,
  scope: ChangeScope,
  link: Pick<StoredInvite, 'purpose' | 'user' | 'roles' | 'traits'>,
): Promise<InviteLink> {
  const { token, hash } = createToken('inv');
  const expiresAtMs = scope.now.getTime() + deps.config.ttl.invite;
  const id = createId('inv', scope.now.getTime());
  await insertInvite(scope.tx, { ...link, id, tokenHash: hash, expiresAtMs, now: scope.now });
  return {
    token,
    url: `https://${deps.config.public_addr}/invite/${token}`,
    expiresAt: new Date(expiresAtMs),
  };
}

export interface InviteDetails {
  readonly invite: StoredInvite;
  /** Roles that the person has or will have. */
  readonly roles: readonly string[];
  readonly secondFactor: boolean;
}

/** @throws LINK_INVALID, LOGIN_SLOWED */
export async function openInvite(
  deps: Deps,
  token: string,
  clientAddress: string,
): Promise<InviteDetails> {
  await refuseSlowedAddress(deps, clientAddress);
  const db = deps.store.database;
  const invite = isTokenShape('inv', token) ? await findInvite(db, hashToken(token)) : undefined;
  const roles = invite === undefined ? undefined : await findInvitedRoles(deps, invite);
  if (invite === undefined || roles === undefined) {
    await countLoginFailure(deps, undefined, clientAddress);
    const actor = unknownActor(invite?.user ?? '', clientAddress);
    const reason = isTokenShape('join', token) ? 'wrong_kind' : 'link';
    await recordDrafts(deps, [{ type: 'login.failed', actor, outcome: 'failure', reason }]);
    throw authError('LINK_INVALID', { reason: 'link' });
  }
  return { invite, roles, secondFactor: (await readSecondFactorRule(db)) !== 'off' };
}

/** Roles that come with a link that still holds; undefined for one that does not. */
async function findInvitedRoles(
  deps: Deps,
  invite: StoredInvite,
): Promise<readonly string[] | undefined> {
  if (invite.isUsed || invite.expiresAtMs <= deps.clock.now()) return undefined;
  const db = deps.store.database;
  if (invite.user === undefined) return (await hasAdministrator(db)) ? undefined : invite.roles;
  const document = await findDocument(db, 'user', foldName(invite.user));
  return document === undefined ? undefined : userSpecOf(document).roles;
}

export interface AcceptRequest {
  readonly token: string;
  /** For the first administrator. */
  readonly user: string;
  readonly password: string;
  readonly clientAddress: string;
}

export interface Accepted {
  readonly user: string;
  readonly roles: readonly string[];
  /** Empty where no second factor was set up. */
  readonly totpUri: string;
}

/** @throws LINK_INVALID, DOCUMENT_INVALID (name), PASSWORD_WEAK, DOCUMENT_EXISTS, LOGIN_BUSY, LOGIN_SLOWED */
export async function acceptInvite(deps: Deps, request: AcceptRequest): Promise<Accepted> {
  const { invite, roles, secondFactor } = await openInvite(
    deps,
    request.token,
    request.clientAddress,
  );
  const user = invite.user ?? request.user;
  const problem = findNameProblem(user, 'user');
  if (problem !== undefined)
    throw authError('DOCUMENT_INVALID', { details: { problems: `user: ${problem}` } });
  checkPassword(request.password, user);
  const passwordHash = await deps.passwords.hash(request.password);
  const secret = secondFactor ? createTotpSecret() : undefined;
  await deps.store.change(async (scope) => {
    if (!(await takeInvite(scope.tx, invite.id, scope.now)))
      throw authError('LINK_INVALID', { reason: 'link' });
    const document = await putInvitedUser(deps, scope, { invite, user });
    const totpSecret =
      secret === undefined ? undefined : sealTotpSecret(deps, document.name, secret);
    await putCredential(scope.tx, {
      user: document.name,
      passwordHash,
      totpSecret,
      validAfter: scope.now,
    });
    const actor = { kind: 'user', name: document.name, address: request.clientAddress };
    const by = { actor, outcome: 'success' as const };
    const set = { user: document.name, link: invite.purpose };
    scope.audit(deps.event({ ...by, type: 'password.set', data: set }, scope.now));
    if (secret === undefined) return;
    const added = { user: document.name, device: 'totp' };
    scope.audit(deps.event({ ...by, type: 'mfa_device.added', data: added }, scope.now));
  });
  const uri =
    secret === undefined ? '' : totpUri(secret, { issuer: `Gatehouse ${deps.clusterName}`, user });
  return { user, roles, totpUri: uri };
}

/** The person's document: there already, or made now for the first administrator. */
async function putInvitedUser(
  deps: Deps,
  scope: ChangeScope,
  { invite, user }: { invite: StoredInvite; user: string },
): Promise<StoredDocument> {
  const folded = foldName(user);
  const stored = await findDocument(scope.tx, 'user', folded);
  if (invite.purpose !== 'first_administrator') {
    if (stored === undefined) throw authError('LINK_INVALID', { reason: 'link' });
    return stored;
  }
  if (await hasAdministrator(scope.tx)) throw authError('LINK_INVALID', { reason: 'link' });
  if (stored !== undefined)
    throw authError('DOCUMENT_EXISTS', { details: { kind: 'user', name: user } });
  const body = {
    metadata: {},
    spec: { roles: invite.roles, traits: invite.traits },
    state: { validAfter: scope.now.toISOString() },
  };
  const write = {
    kind: 'user',
    name: user,
    folded,
    revision: 1,
    body,
    origin: 'administrator' as const,
  };
  const document = await putDocument(scope.tx, { ...write, now: scope.now });
  scope.publish({ kind: 'user', name: user, body: renderDocument(document) });
  const data = { kind: 'user', name: user, revision: 1 };
  scope.audit(
    deps.event(
      { type: 'resource.created', actor: systemActor, outcome: 'success', data },
      scope.now,
    ),
  );
  return document;
}
