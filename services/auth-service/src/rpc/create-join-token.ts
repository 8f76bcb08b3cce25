/** A one-use join token for an agent. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  CreateJoinTokenRequest,
  CreateJoinTokenResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { createJoinToken } from '../enrollment/join-tokens.js';
import { requirePerson, requireRule } from '../users/person.js';
import { decodeTtl } from './messages.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: CreateJoinTokenRequest,
  context: Context,
): Promise<CreateJoinTokenResponse> {
  const person = await requirePerson(deps, context);
  requireRule(person, 'token', 'create');
  const { labels, names, group } = request;
  const { token, expiresAt } = await createJoinToken(
    deps,
    { ttlMs: decodeTtl(request.ttl), labels, names, group },
    person.actor,
  );
  return { token, expiresAt };
}
