/** Where agents are connected, as tunnel replicas say every 5 s (D28). For lists and the two events; nobody dials by it. */
import type { Deps } from '../deps.js';
import {
  findAgent,
  hasPresenceBefore,
  listPresenceOf,
  putPresence,
  removePresence,
} from '../store/agents.js';
import type { RecordScope } from '../store/store.js';

/** Without a report for so long, what a replica held is gone. */
export const presenceMs = 15_000;

/** Takes a replica's full list. */
export async function reportAgents(
  deps: Deps,
  report: { readonly replicaId: string; readonly agentIds: readonly string[] },
): Promise<void> {
  const { replicaId, agentIds } = report;
  await deps.store.record(async (scope) => {
    const gone = await removePresence(scope.tx, { replicaId, except: agentIds });
    const come = await putPresence(scope.tx, { ...report, now: scope.now });
    await tell(deps, scope, { gone, come, replicaId });
  });
}

/** Notes one agent at a replica: its registration came through there. */
export async function noteAgent(
  deps: Deps,
  scope: RecordScope,
  { replicaId, agentId }: { replicaId: string; agentId: string },
): Promise<void> {
  const come = await putPresence(scope.tx, { replicaId, agentIds: [agentId], now: scope.now });
  await tell(deps, scope, { gone: [], come, replicaId });
}

/** Forgets what silent replicas held. */
export async function sweepPresence(deps: Deps): Promise<void> {
  const before = new Date(deps.clock.now() - presenceMs);
  if (!(await hasPresenceBefore(deps.store.database, before))) return;
  await deps.store.record(async (scope) => {
    const gone = await removePresence(scope.tx, { before });
    await tell(deps, scope, { gone, come: [], replicaId: '' });
  });
}

/** One event when the first presence of an agent appears, one when the last is gone. Reads of no other agent. */
async function tell(
  deps: Deps,
  scope: RecordScope,
  news: { gone: readonly string[]; come: readonly string[]; replicaId: string },
): Promise<void> {
  const changed = [...new Set([...news.gone, ...news.come])];
  const places = Map.groupBy(await listPresenceOf(scope.tx, changed), ({ agentId }) => agentId);
  for (const id of changed) {
    const now = places.get(id) ?? [];
    const wasPresent =
      news.gone.includes(id) || now.some(({ replicaId }) => replicaId !== news.replicaId);
    const isPresent = now.length > 0;
    if (wasPresent === isPresent) continue;
    const agent = await findAgent(scope.tx, id);
    if (agent === undefined) continue;
    const actor = { kind: 'agent', name: agent.name };
    const base = {
      actor,
      target: { kind: 'agent', name: agent.name, agent: id },
      outcome: 'success' as const,
    };
    const type = isPresent ? 'agent.connected' : 'agent.disconnected';
    const data = news.replicaId === '' ? { agent: id } : { agent: id, tunnel: news.replicaId };
    scope.audit(deps.event({ ...base, type, data }, scope.now));
  }
}
