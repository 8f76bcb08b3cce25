/** Who the caller is now. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  GetSelfRequest,
  GetSelfResponse,
  DeepPartial,
} from '@gatehouse/proto/auth/v1/login_service';

import type { Context, Deps } from '../deps.js';
import { requirePerson } from '../users/person.js';
import { encodeSelf } from './messages.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  _request: GetSelfRequest,
  context: Context,
): Promise<DeepPartial<GetSelfResponse>> {
  const person = await requirePerson(deps, context);
  const { login, roleNames: roles, traits } = person;
  return { self: await encodeSelf(deps, login, { roles, traits }) };
}
