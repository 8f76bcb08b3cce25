/** Agents as lists show them. */
import type { Deps } from '../deps.js';
import { listAgents, listPresence } from '../store/agents.js';
import { findDocuments } from '../store/documents.js';
import { listServedNames } from '../store/target-names.js';
import { presenceMs } from './presence.js';

export interface AgentSummary {
  readonly id: string;
  readonly name: string;
  readonly group: string;
  readonly online: boolean;
  readonly targets: string[];
  readonly tunnels: string[];
  readonly version: string;
  readonly lastSeenAt: Date | undefined;
}

/** By name. */
export async function summarizeAgents(deps: Deps): Promise<AgentSummary[]> {
  const db = deps.store.database;
  const since = deps.clock.now() - presenceMs;
  const present = (await listPresence(db)).filter((one) => one.seenAtMs >= since);
  const targets = await targetsByAgent(deps);
  return (await listAgents(db)).map((agent) => {
    const tunnels = present.filter((one) => one.agentId === agent.id).map((one) => one.replicaId);
    const { id, name, group, version, lastSeenAtMs } = agent;
    return {
      id,
      name,
      // An agent in no group owns its names itself; people need not see that.
      group: group === id ? '' : group,
      online: tunnels.length > 0,
      targets: targets.get(id) ?? [],
      tunnels: tunnels.toSorted(),
      version,
      lastSeenAt: lastSeenAtMs === undefined ? undefined : new Date(lastSeenAtMs),
    };
  });
}

async function targetsByAgent(deps: Deps): Promise<Map<string, string[]>> {
  const served = await listServedNames(deps.store.database);
  const spelling = new Map<string, string>();
  for (const kind of new Set(served.map((one) => one.kind))) {
    const names = served.filter((one) => one.kind === kind).map((one) => one.folded);
    for (const document of await findDocuments(deps.store.database, kind, names)) {
      spelling.set(`${kind}/${document.folded}`, document.name);
    }
  }
  const targets = new Map<string, string[]>();
  for (const { agentId, kind, folded } of served) {
    const list = targets.get(agentId) ?? [];
    list.push(spelling.get(`${kind}/${folded}`) ?? folded);
    targets.set(agentId, list);
  }
  return targets;
}
