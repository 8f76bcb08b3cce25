/** What a long run is given and gives back. */
import { createServer, type AddressInfo } from 'node:net';

import { joinAgent } from '../stack/agent.js';
import type { Cluster } from '../stack/cluster.js';
import { defaultReplicas } from '../stack/cluster.js';
import { findFaults, readLedger } from '../stack/ledger.js';
import type { Attempt, Load } from '../stack/load.js';
import { createClusterWorld, type World, type WorldOptions } from '../stack/world.js';

export interface SoakOptions {
  /** How long what the run is about goes on. */
  readonly seconds: number | undefined;
  /** New connections a second. */
  readonly rate: number | undefined;
  /** Of what the run counts: agents, rounds. */
  readonly count: number | undefined;
  /** Of the cluster, by its name: what is away. */
  readonly part: string | undefined;
  readonly say: (line: string) => void;
}

export interface Soak {
  readonly name: string;
  readonly summary: string;
  /** @returns what was wrong; nothing where all was well */
  run(options: SoakOptions): Promise<string[]>;
}

/** The built-in node of an agent of its own: an sshd would take most of the processor for itself. */
export const target = 'deploy@load-1';

/** Of the same agent: gives back what it gets over TCP. */
export const echoTarget = 'echo-1';

/** Two replicas of every service as they were built, an agent with an sshd, and one with the target of the load. */
export async function createSoakWorld(
  options: Omit<WorldOptions, 'flags'> = {},
): Promise<World<Cluster>> {
  const world = await createClusterWorld({
    only: 'staging',
    replicas: { ...defaultReplicas, auth: 2, audit: 2 },
    isBuilt: true,
    ...options,
  });
  const node = {
    kind: 'node',
    name: 'load-1',
    labels: { env: 'staging' },
    spec: { builtin: true },
  };
  const echo = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  const { port } = echo.address() as AddressInfo;
  const app = {
    kind: 'app',
    name: echoTarget,
    labels: { env: 'staging' },
    spec: { protocol: 'tcp', address: `127.0.0.1:${port}` },
  };
  world.agents.set('load', await joinAgent(world.ada, 'load', [node, app]));
  return world;
}

export async function pause(seconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
}

/** Compares the journal of commands, the store and the topic. */
export async function settle(
  world: World<Cluster>,
  attempts: readonly Attempt[],
  say: (line: string) => void,
): Promise<string[]> {
  const at = performance.now();
  const ledger = await readLedger(world.home, 300_000);
  const faults = findFaults(ledger, attempts);
  const sessions = ledger.stored.filter(({ type }) => type === 'session.ended').length;
  say(
    `store: ${ledger.stored.length} events of ${sessions} sessions; topic: ${ledger.topic.length} ids and ` +
      `${ledger.repeats} repeats; the same after ${((performance.now() - at) / 1_000).toFixed(1)} s`,
  );
  say(`faults: ${faults.length === 0 ? 'none' : faults.length}`);
  return faults;
}

export function describeLoad({ done, failed, skipped }: Load): string {
  const ms = done.map((one) => one.ms).toSorted((a, b) => a - b);
  const quantile = (part: number) => Math.round(ms[Math.floor(ms.length * part)] ?? 0);
  return (
    `${done.length} done, ${failed.length} failed, ${skipped} not begun; ` +
    `p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms, longest ${quantile(0.9999)} ms`
  );
}

/** How often each reason was given. */
export function tally(texts: readonly string[]): string {
  const groups = Map.groupBy(texts, (text) =>
    (text.split('\n')[0] ?? '').replaceAll(/\d+/g, 'N').slice(0, 120),
  );
  return [...groups].map(([text, all]) => `${all.length} × ${text}`).join('; ');
}
