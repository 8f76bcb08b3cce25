/** Ends the login: its certificates are refused from now on. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type { LogoutRequest, LogoutResponse } from '@gatehouse/proto/auth/v1/login_service';

import type { Context, Deps } from '../deps.js';
import { requirePerson } from '../users/person.js';
import { logOut } from '../users/reissue.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  _request: LogoutRequest,
  context: Context,
): Promise<LogoutResponse> {
  await logOut(deps, await requirePerson(deps, context));
  return {};
}
