/** Agents with their state. */
import type { CallerRule } from '@gatehouse/kit/rpc';
import type {
  ListAgentsRequest,
  ListAgentsResponse,
} from '@gatehouse/proto/auth/v1/administration_service';

import type { Context, Deps } from '../deps.js';
import { summarizeAgents } from '../inventory/agents.js';
import { requirePerson, requireRule } from '../users/person.js';

export const callers: readonly CallerRule[] = ['user'];

export async function handle(
  deps: Deps,
  _request: ListAgentsRequest,
  context: Context,
): Promise<ListAgentsResponse> {
  const person = await requirePerson(deps, context);
  requireRule(person, 'agent', 'read');
  return { agents: await summarizeAgents(deps) };
}
