/** Live sessions: the caller's own, or all for those who may. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ListSessionsRequest,
  ListSessionsResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { listVisibleSessions } from '../sessions/live-sessions.js';
import { requirePerson } from '../users/person.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  _request: ListSessionsRequest,
  context: Context,
): Promise<ListSessionsResponse> {
  const person = await requirePerson(deps, context);
  const sessions = await listVisibleSessions(deps, person);
  return {
    sessions: sessions.map(({ replicaId, ...session }) => ({ ...session, replica: replicaId })),
  };
}
