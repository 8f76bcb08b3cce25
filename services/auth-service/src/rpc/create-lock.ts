/** A lock; ends what it names in under a second. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  CreateLockRequest,
  CreateLockResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { createLock } from '../documents/create-lock.js';
import { requirePerson } from '../users/person.js';
import { decodeTtl } from './messages.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: CreateLockRequest,
  context: Context,
): Promise<CreateLockResponse> {
  const person = await requirePerson(deps, context);
  const { user, role, login, target, agent, replica } = request;
  const { loginSession: login_session, request: request_, mfaDevice: mfa_device } = request;
  const document = await createLock(deps, person, {
    target: {
      user,
      role,
      login,
      target,
      agent,
      replica,
      login_session,
      request: request_,
      mfa_device,
    },
    message: request.message,
    ttlMs: decodeTtl(request.ttl),
    expiresAt: request.expiresAt,
  });
  return { documentJson: JSON.stringify(document) };
}
