/**
 * Many agents with two tunnels each: what a tunnel costs its replica, how they come back after a replica's restart, and whether
 * every target can be reached.
 */
import { readFileSync } from 'node:fs';

import { loginRaw } from '@gatehouse/protocol-ssh/testing';

import { cpuSeconds } from '../bench/measure.js';
import type { Cluster } from '../stack/cluster.js';
import { readCredential } from '../stack/credential.js';
import {
  agentName,
  countTunnels,
  inParallel,
  startManyAgents,
  steepest,
  type TunnelSample,
} from '../stack/many-agents.js';
import { eventually } from '../stack/run.js';
import type { Service } from '../stack/service.js';
import type { World } from '../stack/world.js';
import { createSoakWorld, pause, tally, type Soak } from './soak.js';

/** As tunnel-service's limits.admissions_per_second has it by default. */
const admissionsPerSecond = 100;

export const agentsSoak: Soak = {
  name: 'agents',
  summary:
    '--count (2000) agents with two tunnels each: memory, a replica restarted, as many random commands',
  async run({ count = 2_000, say }) {
    await using world = await createSoakWorld();
    const tunnels = world.home.of('tunnel');
    await pause(5);
    const before = tunnels.map(residentKib);
    const cpuBefore = cpuOfAll(world);
    const startedAt = performance.now();
    await using agents = await startManyAgents(world, count);
    say(`${count} agents joined after ${seconds(startedAt)} s`);
    say(`CPU ms for each: ${describeCost(world, cpuBefore, count)}`);
    await eventually(
      'all tunnels',
      async () => (await countTunnels(tunnels)) >= 2 * count,
      180_000,
    );
    say(`${await countTunnels(tunnels)} tunnels stand after ${seconds(startedAt)} s`);
    await pause(10);
    for (const [index, tunnel] of tunnels.entries()) {
      const own = await tunnel.metric('gatehouse_tunnel_active');
      const kib = (residentKib(tunnel) - (before[index] ?? 0)) / own;
      say(`replica ${index + 1}: ${own} tunnels, ${kib.toFixed(0)} KiB each (resident memory)`);
    }
    const failures = await runEverywhere(world, count);
    say(`${count} commands at random targets: ${failures.length} failed ${tally(failures)}`);
    const faults = await restartOne(world, count, say);
    await pause(5);
    const again = await runEverywhere(world, Math.min(count, 200));
    say(`${Math.min(count, 200)} commands after it: ${again.length} failed ${tally(again)}`);
    return [...failures, ...faults, ...again].concat(agents.failed);
  },
};

/** Spent so far by this process, which is all the agents, and by each service. */
function cpuOfAll(world: World<Cluster>): Record<string, number> {
  const { user, system } = process.cpuUsage();
  return {
    agents: (user + system) / 1e6,
    ...Object.fromEntries(
      world.home.services.map(({ name, number, pid }) => [`${name} ${number}`, cpuSeconds(pid)]),
    ),
  };
}

/** What each process has spent since `before`, ms for each agent. */
function describeCost(
  world: World<Cluster>,
  before: Record<string, number>,
  count: number,
): string {
  return Object.entries(cpuOfAll(world))
    .map(([name, now]) => `${name} ${(((now - (before[name] ?? 0)) / count) * 1_000).toFixed(0)}`)
    .join(', ');
}

const seconds = (since: number) => ((performance.now() - since) / 1_000).toFixed(1);

function residentKib({ pid }: Service): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}

/** A command at each of so many targets, chosen by chance. */
async function runEverywhere(world: World<Cluster>, count: number): Promise<string[]> {
  const credential = await readCredential(world.person('alice'));
  const port = Number(world.home.ready.proxyAddr.split(':')[1]);
  const failures: string[] = [];
  await inParallel(count, 8, async () => {
    const name = agentName(Math.floor(Math.random() * count));
    try {
      using client = await loginRaw({ port, userName: `deploy@${name}`, ...credential });
      const channel = await client.openSession();
      const { stdout } = await channel.ask([{ name: 'exec', fields: [`echo ${name}`] }], 15_000);
      if (stdout !== `${name}\n`) failures.push(`no answer: ${stdout}`);
    } catch (thrown) {
      failures.push(String(thrown));
    }
  });
  return failures;
}

/** kill -9 of one replica and its start: all tunnels are back, no faster than they are let in. */
async function restartOne(
  world: World<Cluster>,
  count: number,
  say: (line: string) => void,
): Promise<string[]> {
  const [victim, ...others] = world.home.of('tunnel');
  if (victim === undefined) return ['no tunnel replica'];
  await victim.stop('SIGKILL');
  await victim.start();
  const startedAt = performance.now();
  const cpuBefore = cpuOfAll(world);
  const samples: TunnelSample[] = [];
  const all = [victim, ...others];
  await eventually(
    'all tunnels again',
    async () => {
      samples.push({
        at: performance.now(),
        count: await victim.metric('gatehouse_tunnel_active'),
      });
      await pause(0.5);
      return (await countTunnels(all)) >= 2 * count;
    },
    180_000,
  );
  const took = (performance.now() - startedAt) / 1_000;
  const rate = steepest(samples);
  say(
    `all tunnels back ${took.toFixed(1)} s after the replica was; at most ${rate.toFixed(0)} a second`,
  );
  say(`CPU ms for each: ${describeCost(world, cpuBefore, count)}`);
  return [
    ...(took > 60 ? [`back after ${took} s`] : []),
    // A second's worth may come at once.
    ...(rate > 1.6 * admissionsPerSecond ? [`${rate} let in a second`] : []),
  ];
}
