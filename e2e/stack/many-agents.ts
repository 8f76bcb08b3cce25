/** Many agents with two tunnels each, real ones but for their process, which is this one. */
import { join } from 'node:path';

import { createAgent, type Agent } from '@gatehouse/agent';
import { createLogger } from '@gatehouse/kit/log';
import { AdministrationServiceDefinition } from '@gatehouse/proto/auth/v1/administration_service';

import type { Cluster } from './cluster.js';
import { connectAs } from './rpc.js';
import type { Service } from './service.js';
import type { World } from './world.js';

export interface ManyAgents extends AsyncDisposable {
  readonly joined: number;
  /** Why some did not join. */
  readonly failed: readonly string[];
}

/** The name of an agent, and of its one target. */
export const agentName = (index: number) => `many-${index}`;

/** They join eight at a time. */
export async function startManyAgents(world: World<Cluster>, count: number): Promise<ManyAgents> {
  const { home } = world;
  using connection = await connectAs(world.ada, { address: home.ready.proxyAddr });
  const administration = connection.client(AdministrationServiceDefinition);
  const logger = createLogger({ name: 'agents', level: 'silent' });
  const agents: Agent[] = [];
  const failed: string[] = [];
  const start = async (name: string) => {
    const { token } = await administration.createJoinToken({ labels: {}, names: [], group: '' });
    const spec = { address: world.web1.address, host_key: world.web1.hostKey };
    const agent = await createAgent(
      {
        proxy: home.ready.proxyAddr,
        caPin: home.ready.caPin,
        token,
        dataDir: join(home.dir, 'many', name),
        config: { name, targets: [{ kind: 'node', name, labels: { env: 'staging' }, spec }] },
      },
      { logger },
    );
    agents.push(agent);
  };
  await inParallel(count, 8, async (index) =>
    start(agentName(index)).catch((thrown: unknown) =>
      failed.push(`agent ${index}: ${String(thrown)}`),
    ),
  );
  return {
    joined: agents.length,
    failed,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(agents.map(async (agent) => agent[Symbol.asyncDispose]()));
    },
  };
}

/** How many tunnels stand on these replicas of tunnel-service; one that does not answer has none. */
export async function countTunnels(replicas: readonly Service[]): Promise<number> {
  const counts = await Promise.all(
    replicas.map(async (one) => one.metric('gatehouse_tunnel_active').catch(() => 0)),
  );
  return counts.reduce((sum, one) => sum + one, 0);
}

/** How many tunnels there were at one time. */
export interface TunnelSample {
  /** Of `performance.now()`. */
  readonly at: number;
  readonly count: number;
}

/** The most that came in about two seconds, a second; of samples that are half a second apart. */
export function steepest(samples: readonly TunnelSample[]): number {
  return Math.max(
    ...samples.map((to, index) => {
      const from = samples[index - 4];
      return from === undefined ? 0 : ((to.count - from.count) / (to.at - from.at)) * 1_000;
    }),
  );
}

export async function inParallel(
  count: number,
  width: number,
  work: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      next += 1;
      await work(next - 1);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}
