/** Adding people and taking their factors away. */
import { foldName } from '@gatehouse/policy';

import type { Deps } from '../deps.js';
import { requireRoles } from '../documents/check-change.js';
import { invalidDocument, userSpecSchema } from '../documents/kinds.js';
import { findNameProblem } from '../documents/names.js';
import { endLoginsOf } from '../documents/remove.js';
import { renderDocument } from '../documents/render.js';
import { authError } from '../errors.js';
import { putCredential, removeCredential } from '../store/credentials.js';
import { findDocument, putDocument } from '../store/documents.js';
import { createUserLink, type InviteLink } from './invites.js';
import { requireRule, type Person } from './person.js';

export interface NewUser {
  readonly name: string;
  readonly roles: readonly string[];
  /** Values separated by commas. */
  readonly traits: Readonly<Record<string, string>>;
}

/** Makes a person's document and a link. @throws NOT_ALLOWED, DOCUMENT_INVALID, DOCUMENT_EXISTS */
export async function inviteUser(deps: Deps, person: Person, user: NewUser): Promise<InviteLink> {
  requireRule(person, 'user', 'create');
  const { name } = user;
  const problem = findNameProblem(name, 'user');
  if (problem !== undefined)
    throw authError('DOCUMENT_INVALID', { details: { problems: `name: ${problem}` } });
  const traits: Record<string, string[]> = {};
  for (const [key, text] of Object.entries(user.traits)) traits[key] = splitValues(text);
  const parsed = userSpecSchema.safeParse({
    roles: [...new Set(user.roles)],
    traits,
  });
  if (!parsed.success) throw invalidDocument(parsed.error);
  return deps.store.change(async (scope) => {
    await requireRoles(scope.tx, parsed.data.roles);
    const folded = foldName(name);
    if ((await findDocument(scope.tx, 'user', folded)) !== undefined) {
      throw authError('DOCUMENT_EXISTS', { details: { kind: 'user', name } });
    }
    const body = {
      metadata: {},
      spec: parsed.data,
      state: { validAfter: scope.now.toISOString() },
    };
    const write = {
      kind: 'user',
      name,
      folded,
      revision: 1,
      body,
      origin: 'administrator' as const,
      now: scope.now,
    };
    const written = await putDocument(scope.tx, write);
    scope.publish({ kind: 'user', name, body: renderDocument(written) });
    const base = {
      actor: person.actor,
      target: { kind: 'user', name },
      outcome: 'success' as const,
    };
    scope.audit(
      deps.event(
        { ...base, type: 'resource.created', data: { kind: 'user', name, revision: 1 } },
        scope.now,
      ),
    );
    return createUserLink(deps, scope, { user: name, purpose: 'invite' });
  });
}

function splitValues(text: string): string[] {
  return text
    .split(',')
    .map((value) => value.trim())
    .filter((value) => value !== '');
}

/** Takes password, second factor, logins and links away and makes a link to start again. @throws NOT_ALLOWED, DOCUMENT_MISSING */
export async function resetUser(
  deps: Deps,
  person: Person,
  name: string,
): Promise<InviteLink & { user: string }> {
  requireRule(person, 'user', 'update');
  return deps.store.change(async (scope) => {
    const stored = await findDocument(scope.tx, 'user', foldName(name));
    if (stored === undefined)
      throw authError('DOCUMENT_MISSING', { details: { kind: 'user', name: name.slice(0, 256) } });
    const user = stored.name;
    await endLoginsOf(scope, user, 'reset');
    await removeCredential(scope.tx, user);
    await putCredential(scope.tx, {
      user,
      passwordHash: undefined,
      totpSecret: undefined,
      validAfter: scope.now,
    });
    const body = { ...stored.body, state: { validAfter: scope.now.toISOString() } };
    const written = await putDocument(scope.tx, {
      ...stored,
      body,
      revision: stored.revision + 1,
      now: scope.now,
    });
    scope.publish({ kind: 'user', name: user, body: renderDocument(written) });
    const base = {
      actor: person.actor,
      target: { kind: 'user', name: user },
      outcome: 'success' as const,
    };
    const data = { kind: 'user', name: user, revision: written.revision, reset: true };
    scope.audit(
      deps.event(
        { ...base, type: 'mfa_device.removed', data: { user, device: 'totp' } },
        scope.now,
      ),
    );
    scope.audit(deps.event({ ...base, type: 'resource.updated', data }, scope.now));
    return { user, ...(await createUserLink(deps, scope, { user, purpose: 'reset' })) };
  });
}
