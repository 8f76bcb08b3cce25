/** Targets that the caller may see, with their state. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ListTargetsRequest,
  ListTargetsResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { listVisibleTargets } from '../inventory/targets.js';
import { requirePerson } from '../users/person.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: ListTargetsRequest,
  context: Context,
): Promise<ListTargetsResponse> {
  const person = await requirePerson(deps, context);
  const { targets, nextPageToken } = await listVisibleTargets(deps, person, request);
  return {
    targets: targets.map((target) => ({ ...target, labels: { ...target.labels } })),
    nextPageToken,
  };
}
