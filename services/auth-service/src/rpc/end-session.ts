/** Ends a live session. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  EndSessionRequest,
  EndSessionResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { endSession } from '../sessions/live-sessions.js';
import { requirePerson } from '../users/person.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: EndSessionRequest,
  context: Context,
): Promise<EndSessionResponse> {
  const person = await requirePerson(deps, context);
  await endSession(deps, person, request.id);
  return {};
}
