/** An invitation for a new person. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  CreateUserInviteRequest,
  CreateUserInviteResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { inviteUser } from '../users/administer.js';
import { requirePerson } from '../users/person.js';
import { encodeLink } from './messages.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: CreateUserInviteRequest,
  context: Context,
): Promise<CreateUserInviteResponse> {
  const person = await requirePerson(deps, context);
  const { user, roles, traits } = request;
  return encodeLink(user, await inviteUser(deps, person, { name: user, roles, traits }));
}
