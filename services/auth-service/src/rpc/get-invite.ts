/** What an invitation is for. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type { GetInviteRequest, GetInviteResponse } from '@gatehouse/proto/auth/v1/login_service';

import type { Context, Deps } from '../deps.js';
import { openInvite } from '../users/invites.js';
import { addressOfRequest } from './messages.js';

export const callers: readonly CallerRule[] = ['anonymous', 'service/proxy'];

export async function handle(
  deps: Deps,
  request: GetInviteRequest,
  context: Context,
): Promise<GetInviteResponse> {
  const address = addressOfRequest(request, context);
  const { invite, roles, secondFactor } = await openInvite(deps, request.token, address);
  return {
    user: invite.user ?? '',
    roles: [...roles],
    reset: invite.purpose === 'reset',
    secondFactor,
    expiresAt: new Date(invite.expiresAtMs),
  };
}
