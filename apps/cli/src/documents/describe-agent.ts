import type { AgentSummary } from '@gatehouse/proto/auth/v1/administration_service';

/** An agent as `--format json` shows it. */
export function describeAgent(agent: AgentSummary) {
  const { online, lastSeenAt, ...rest } = agent;
  return {
    ...rest,
    status: online ? 'online' : 'offline',
    lastSeenAt: lastSeenAt?.toISOString() ?? null,
  };
}
