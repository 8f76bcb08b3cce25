/** Takes a person's factors and logins away and makes a link to set new ones. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ResetUserRequest,
  ResetUserResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { resetUser } from '../users/administer.js';
import { requirePerson } from '../users/person.js';
import { encodeLink } from './messages.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: ResetUserRequest,
  context: Context,
): Promise<ResetUserResponse> {
  const person = await requirePerson(deps, context);
  const link = await resetUser(deps, person, request.user);
  return encodeLink(link.user, link);
}
