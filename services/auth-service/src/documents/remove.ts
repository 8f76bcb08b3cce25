/** Removing documents and everything that hangs on them (RBC-11). */
import { foldName } from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { authError } from '../errors.js';
import type { EventDraft } from '../events.js';
import { clearGroup } from '../inventory/groups.js';
import { findAgent, findAgentByName, removeAgent } from '../store/agents.js';
import { removeCredential } from '../store/credentials.js';
import {
  findDocument,
  listDocuments,
  putDocument,
  removeDocument,
  type StoredDocument,
} from '../store/documents.js';
import { revokeInvites } from '../store/invites.js';
import { removeJoinToken } from '../store/join-tokens.js';
import { endUserLogins } from '../store/logins.js';
import type { ChangeScope } from '../store/store.js';
import { removeTargetName } from '../store/target-names.js';
import { requireRule, type Person } from '../users/person.js';
import { loginEndBody } from '../watch/watch.js';
import { refuseLastAdministrator } from './check-change.js';
import { isTargetKind, requireKind } from './kinds.js';
import { renderDocument, userSpecOf } from './render.js';

export interface Removal {
  readonly kind: string;
  readonly name: string;
}

/** @throws KIND_UNKNOWN, NOT_ALLOWED, DOCUMENT_MISSING, BUILTIN, LAST_ADMINISTRATOR */
export async function deleteDocument(deps: Deps, person: Person, removal: Removal): Promise<void> {
  const kind = requireKind(removal.kind);
  requireRule(person, kind, 'delete');
  const missing = () =>
    authError('DOCUMENT_MISSING', { details: { kind, name: removal.name.slice(0, 256) } });
  await deps.store.change(async (scope) => {
    if (kind === 'token') {
      if (!(await removeJoinToken(scope.tx, removal.name))) throw missing();
      scope.audit(deps.event(deletedEvent(person, removal), scope.now));
      return;
    }
    if (kind === 'agent') {
      if (!(await deleteAgent(deps, scope, { person, name: removal.name }))) throw missing();
      return;
    }
    const stored = await findDocument(scope.tx, kind, foldName(removal.name));
    if (stored === undefined) throw missing();
    if (stored.origin === 'builtin')
      throw authError('BUILTIN', { details: { kind, name: stored.name } });
    await deleteStored(deps, scope, { person, stored });
  });
}

async function deleteStored(
  deps: Deps,
  scope: ChangeScope,
  { person, stored }: { person: Person; stored: StoredDocument },
): Promise<void> {
  const { kind, name, folded } = stored;
  if (kind === 'user') await deleteUserParts(scope, stored);
  if (kind === 'role') await takeRoleAway(deps, scope, { person, role: name });
  if (isTargetKind(kind)) await removeTargetName(scope.tx, { kind, folded });
  await removeDocument(scope.tx, kind, folded);
  scope.publish({ kind, name });
  scope.audit(deps.event(deletedEvent(person, { kind, name }), scope.now));
}

function deletedEvent(person: Person, { kind, name }: Removal): EventDraft {
  const base = {
    actor: person.actor,
    target: { kind, name },
    outcome: 'success' as const,
    data: { kind, name },
  };
  return kind === 'lock'
    ? { ...base, type: 'lock.deleted', reason: 'deleted' }
    : { ...base, type: 'resource.deleted' };
}

async function deleteUserParts(scope: ChangeScope, user: StoredDocument): Promise<void> {
  if (userSpecOf(user).roles.includes('admin')) await refuseLastAdministrator(scope.tx, user.name);
  await removeCredential(scope.tx, user.name);
  await revokeInvites(scope.tx, { user: user.name });
  await endLoginsOf(scope, user.name, 'user_deleted');
}

/** Ends every login of a person and tells the watchers. */
export async function endLoginsOf(scope: ChangeScope, user: string, reason: string): Promise<void> {
  for (const login of await endUserLogins(scope.tx, user, { at: scope.now, reason })) {
    scope.publish({ kind: 'login_end', name: login.id, body: loginEndBody(login) });
  }
}

/** Whoever had the role loses it: a later role of the same name must not come to them by itself. */
async function takeRoleAway(
  deps: Deps,
  scope: ChangeScope,
  { person, role }: { person: Person; role: string },
): Promise<void> {
  for (const user of await listDocuments(scope.tx, { kinds: ['user'] })) {
    const spec = userSpecOf(user);
    if (!spec.roles.includes(role)) continue;
    const body = {
      ...user.body,
      spec: { ...spec, roles: spec.roles.filter((name) => name !== role) },
    };
    const written = await putDocument(scope.tx, {
      ...user,
      body,
      revision: user.revision + 1,
      now: scope.now,
    });
    scope.publish({ kind: 'user', name: user.name, body: renderDocument(written) });
    const data = { kind: 'user', name: user.name, revision: written.revision };
    const target = { kind: 'user', name: user.name };
    scope.audit(
      deps.event(
        { type: 'resource.updated', actor: person.actor, target, outcome: 'success', data },
        scope.now,
      ),
    );
  }
}

/** Takes an agent, by name or id; the last one of a group takes its targets and names along. */
async function deleteAgent(
  deps: Deps,
  scope: ChangeScope,
  { person, name }: { person: Person; name: string },
): Promise<boolean> {
  const agent =
    (await findAgentByName(scope.tx, foldName(name))) ?? (await findAgent(scope.tx, name));
  if (agent === undefined) return false;
  await removeAgent(scope.tx, agent.id);
  scope.publish({ kind: 'agent', name: agent.id });
  scope.audit(deps.event(deletedEvent(person, { kind: 'agent', name: agent.name }), scope.now));
  await clearGroup(scope, agent.group, ['agent', 'administrator']);
  return true;
}
