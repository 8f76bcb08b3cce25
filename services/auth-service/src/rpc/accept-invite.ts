/** Uses an invitation once: sets the password and the second factor. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  AcceptInviteRequest,
  AcceptInviteResponse,
} from '@gatehouse/proto/auth/v1/login_service';

import type { Context, Deps } from '../deps.js';
import { acceptInvite } from '../users/invites.js';
import { addressOfRequest } from './messages.js';

export const callers: readonly CallerRule[] = ['anonymous', 'service/proxy'];

export async function handle(
  deps: Deps,
  request: AcceptInviteRequest,
  context: Context,
): Promise<AcceptInviteResponse> {
  const clientAddress = addressOfRequest(request, context);
  const { token, user, password } = request;
  const accepted = await acceptInvite(deps, { token, user, password, clientAddress });
  return { ...accepted, roles: [...accepted.roles] };
}
