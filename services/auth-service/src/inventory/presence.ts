/** Where agents are connected, as tunnel replicas say every 5 s (D28). For lists and the two events; nobody dials by it. */
import type { Deps } from '../deps.js';
import { findAgent, listPresence, putPresence, removePresence } from '../store/agents.js';
import type { RecordScope } from '../store/store.js';

/** Without a report for so long, what a replica held is gone. */
export const presenceMs = 15_000;

/** Takes a replica's full list. */
export async function reportAgents(
  deps: Deps,
  report: { readonly replicaId: string; readonly agentIds: readonly string[] },
): Promise<void> {
  await deps.store.record(async (scope) => {
    const before = await presentAgents(deps, scope);
    const gone = await removePresence(scope.tx, {
      replicaId: report.replicaId,
      except: report.agentIds,
    });
    await putPresence(scope.tx, { ...report, now: scope.now });
    await tell(deps, scope, {
      before,
      touched: [...gone, ...report.agentIds],
      replicaId: report.replicaId,
    });
  });
}

/** Notes one agent at a replica: its registration came through there. */
export async function noteAgent(
  deps: Deps,
  scope: RecordScope,
  at: { replicaId: string; agentId: string },
): Promise<void> {
  const before = await presentAgents(deps, scope);
  await putPresence(scope.tx, { replicaId: at.replicaId, agentIds: [at.agentId], now: scope.now });
  await tell(deps, scope, { before, touched: [at.agentId], replicaId: at.replicaId });
}

/** Forgets what silent replicas held. */
export async function sweepPresence(deps: Deps): Promise<void> {
  const before = new Date(deps.clock.now() - presenceMs);
  const stale = (await listPresence(deps.store.database)).some(
    (one) => one.seenAtMs < before.getTime(),
  );
  if (!stale) return;
  await deps.store.record(async (scope) => {
    // Those of before, stale or not: an agent whose only presence has run out is told to be gone now.
    const present = new Set((await listPresence(scope.tx)).map((one) => one.agentId));
    const touched = await removePresence(scope.tx, { before });
    await tell(deps, scope, { before: present, touched, replicaId: '' });
  });
}

async function presentAgents(deps: Deps, scope: RecordScope): Promise<ReadonlySet<string>> {
  const present = await listPresence(scope.tx);
  return new Set(present.map((one) => one.agentId));
}

/** One event when the first presence of an agent appears, one when the last is gone. */
async function tell(
  deps: Deps,
  scope: RecordScope,
  news: { before: ReadonlySet<string>; touched: readonly string[]; replicaId: string },
): Promise<void> {
  const after = await presentAgents(deps, scope);
  for (const id of new Set(news.touched)) {
    if (news.before.has(id) === after.has(id)) continue;
    const agent = await findAgent(scope.tx, id);
    if (agent === undefined) continue;
    const actor = { kind: 'agent', name: agent.name };
    const base = {
      actor,
      target: { kind: 'agent', name: agent.name, agent: id },
      outcome: 'success' as const,
    };
    const type = after.has(id) ? 'agent.connected' : 'agent.disconnected';
    const data = news.replicaId === '' ? { agent: id } : { agent: id, tunnel: news.replicaId };
    scope.audit(deps.event({ ...base, type, data }, scope.now));
  }
}
