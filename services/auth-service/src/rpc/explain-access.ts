/** Why a person may or may not use a target. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ExplainAccessRequest,
  ExplainAccessResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { explain } from '../inventory/targets.js';
import { requirePerson } from '../users/person.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  request: ExplainAccessRequest,
  context: Context,
): Promise<ExplainAccessResponse> {
  const person = await requirePerson(deps, context);
  const { allowed, reason, lines } = await explain(deps, person, request);
  return { allowed, reason, lines: [...lines] };
}
