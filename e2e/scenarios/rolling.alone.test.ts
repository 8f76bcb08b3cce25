/** Orderly stops: what is open may end by itself, what is new goes elsewhere, nobody is refused. OPS-04, REC-04, TUN-05, 07. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';

import { joinStreams, splitAddress } from '@gatehouse/kit/net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Cluster } from '../stack/cluster.js';
import { readCredential } from '../stack/credential.js';
import { lastSession, sessionEvents, waitForEvent } from '../stack/events.js';
import { findFaults, readLedger } from '../stack/ledger.js';
import { runThrough, startLoad } from '../stack/load.js';
import {
  countTunnels,
  startManyAgents,
  steepest,
  type TunnelSample,
} from '../stack/many-agents.js';
import type { Person } from '../stack/person.js';
import { twoOfEach } from '../stack/plan.js';
import { eventually, type RunResult } from '../stack/run.js';
import type { Service, ServiceName } from '../stack/service.js';
import { createClusterWorld, type World } from '../stack/world.js';

const target = 'deploy@web-1';

let world: World<Cluster>;
let alice: Person;
beforeAll(async () => {
  world = await createClusterWorld({
    only: 'staging',
    replicas: twoOfEach,
    people: { alice: ['dev'], bob: ['dev'] },
  });
  alice = world.person('alice');
}, 180_000);
afterAll(async () => world?.[Symbol.asyncDispose]());

const services = (name: ServiceName): Service[] => world.home.of(name);

const activeSessions = async () =>
  Promise.all(services('proxy').map(async (one) => one.metric('gatehouse_session_active')));

/** A session, and the proxy that has it. */
async function openSession(
  args: readonly string[],
): Promise<{ proxy: Service; result: Promise<RunResult> }> {
  const before = await activeSessions();
  const result = alice.ssh(args, { timeoutMs: 60_000 });
  const proxy = await eventually('the session', async () => {
    const now = await activeSessions();
    return services('proxy').find((_, index) => (now[index] ?? 0) > (before[index] ?? 0));
  });
  return { proxy, result };
}

const whole = { code: 0, stdout: 'began\nwent-on\n' };
const lasting = (seconds: number) => [target, `echo began; sleep ${seconds}; echo went-on`];

describe('a proxy that is stopped', () => {
  it('serves what is open, is not ready meanwhile, takes nothing new, and ends after the last (OPS-04)', async () => {
    const { proxy, result } = await openSession(lasting(6));
    const port = proxy.listen.split(':')[1] ?? '';
    const stopping = proxy.stop();
    await eventually('it not to be ready', async () => (await proxy.readiness()).code === 503);
    await eventually('the port to be shut', async () => !(await takesConnections(Number(port))));
    const at = performance.now();
    expect(await result).toMatchObject(whole);
    expect(await stopping).toBe(0);
    // The last session's end is the process's, long before the drain time.
    expect(performance.now() - at).toBeLessThan(9_500);
    await proxy.start();
  }, 60_000);

  it('serves whoever had connected and not yet said a word (OPS-04)', async () => {
    const [proxy] = services('proxy');
    const { host, port } = splitAddress(proxy?.listen ?? '');
    const early = connect(port, host);
    await once(early, 'connect');
    await using way = createServer(
      (socket) => void joinStreams(socket, early).catch(() => undefined),
    );
    await once(way.listen(0, '127.0.0.1'), 'listening');
    const stopping = proxy?.stop();
    await eventually('the port to be shut', async () => !(await takesConnections(port)));
    const answer = await runThrough(`127.0.0.1:${(way.address() as AddressInfo).port}`, {
      credential: await readCredential(alice),
      target,
      command: 'echo late',
    });
    expect(answer.stdout).toBe('late\n');
    expect(await stopping).toBe(0);
    await proxy?.start();
  }, 60_000);

  it('ends at once where nothing is open (OPS-04)', async () => {
    const [proxy] = services('proxy');
    const at = performance.now();
    expect(await proxy?.stop()).toBe(0);
    expect(performance.now() - at).toBeLessThan(6_000);
    await proxy?.start();
  }, 60_000);

  it('ends a session that is longer than the drain time with its reason, its recording whole (REC-04)', async () => {
    const from = new Date().toISOString();
    const { proxy, result } = await openSession(['-tt', target, 'echo printed-last; sleep 60']);
    await waitForEvent(world.ada, { type: 'session.started', user: 'alice', from });
    expect(await proxy.stop()).toBe(0);
    const { stdout, stderr } = await result;
    expect(stdout + stderr).toContain('this proxy is stopping; connect again');
    const events = await lastSession(world.ada, { user: 'alice', target: 'web-1', from });
    expect(events.at(-1)).toMatchObject({ type: 'session.ended', reason: 'proxy_stopping' });
    const [{ id } = { id: '' }] = await eventually('the recording', async () => {
      const list = await world.ada.json<{ id: string; sessionId: string; complete: boolean }[]>([
        'recordings',
        'ls',
      ]);
      const own = list.filter((one) => one.sessionId === events[0]?.sessionId && one.complete);
      return own.length > 0 && own;
    });
    const played = await world.ada.gate(['recordings', 'export', id, '--as', 'text']);
    expect(played.stdout).toContain('printed-last');
    await proxy.start();
  }, 90_000);
});

async function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
}

describe('a tunnel replica that is stopped', () => {
  it('has its agents elsewhere at once and cuts no session that ends in time; -9 does (TUN-05)', async () => {
    const from = new Date().toISOString();
    const { result } = await openSession(lasting(5));
    const started = await waitForEvent(world.ada, { type: 'session.started', user: 'alice', from });
    const used = services('tunnel').find(({ replica }) => replica === started.data['tunnel']);
    expect(used).toBeDefined();
    const stopping = used?.stop();
    const again = await alice.ssh([target, 'echo elsewhere']);
    expect(again).toMatchObject({ code: 0, stdout: 'elsewhere\n' });
    const agents = await world.ada.json<{ name: string; status: string }[]>(['agents', 'ls']);
    expect(agents).toMatchObject([{ name: 'a1', status: 'online' }]);
    expect(await result).toMatchObject(whole);
    expect(await stopping).toBe(0);
    await used?.start();

    const cutFrom = new Date().toISOString();
    const cut = alice.ssh([target, 'sleep 30'], { timeoutMs: 60_000 });
    const start = await waitForEvent(world.ada, {
      type: 'session.started',
      user: 'alice',
      from: cutFrom,
    });
    await services('tunnel')
      .find(({ replica }) => replica === start.data['tunnel'])
      ?.stop('SIGKILL');
    expect((await cut).code).toBe(255);
    const events = await eventually('its end', async () => {
      const all = await sessionEvents(world.ada, start.sessionId ?? '');
      return all.at(-1)?.type === 'session.ended' && all;
    });
    expect(events.at(-1)).toMatchObject({ reason: 'tunnel_lost' });
    for (const service of services('tunnel')) if (!service.isRunning) await service.start();
  }, 90_000);
});

async function listUntil(isOver: () => boolean): Promise<RunResult[]> {
  const results: RunResult[] = [];
  while (!isOver()) results.push(await alice.gate(['ls']));
  return results;
}
describe('the way to an agent, in seconds (D28)', () => {
  /** What a busy machine may make of the aims that stand beside the figures. */
  const mostSeconds = 20;
  const figures: string[] = [];
  afterAll(() => console.log(figures.join('\n')));

  const measure = async (what: string, aimSeconds: number, work: () => Promise<unknown>) => {
    const at = performance.now();
    await work();
    const seconds = (performance.now() - at) / 1_000;
    figures.push(`${what}: ${seconds.toFixed(2)} s (aim: ${aimSeconds} s)`);
    expect(seconds, what).toBeLessThan(mostSeconds);
  };

  /** Always through the same proxy, which prefers the tunnel that came through itself. */
  const runCommand = async () => {
    const [proxy] = services('proxy');
    const credential = await readCredential(alice);
    const command = 'echo here';
    const answer = await runThrough(proxy?.listen ?? '', { credential, target, command });
    expect(answer.stdout).toBe('here\n');
  };
  const again = async () =>
    eventually('a session', async () => runCommand().then(() => true), 60_000);

  const findTunnel = async (from: string) => {
    const { data } = await waitForEvent(world.ada, {
      type: 'session.started',
      user: 'alice',
      from,
    });
    const tunnel = services('tunnel').find(({ replica }) => replica === data['tunnel']);
    if (tunnel === undefined) throw new Error(`no replica ${String(data['tunnel'])}`);
    return tunnel;
  };
  const findOwnTunnel = async () => {
    const from = new Date().toISOString();
    await runCommand();
    return findTunnel(from);
  };

  it('leads through the other replica as soon as the one that was used is stopped', async () => {
    const used = await findOwnTunnel();
    expect(await findOwnTunnel()).toBe(used);
    expect(await used.stop()).toBe(0);
    const from = new Date().toISOString();
    await measure('a session after its tunnel replica was stopped', 2, runCommand);
    expect(await findTunnel(from)).not.toBe(used);
    await used.start();
  }, 120_000);

  it('is back after kill -9 of tunnel replicas, and of the agent', async () => {
    const used = await findOwnTunnel();
    await used.stop('SIGKILL');
    const from = new Date().toISOString();
    await measure('a session after kill -9 of its tunnel replica', 5, again);
    expect(await findTunnel(from)).not.toBe(used);
    await used.start();

    await Promise.all(services('tunnel').map(async (one) => one.stop('SIGKILL')));
    await measure('a session after kill -9 of all tunnel replicas and their start', 5, async () => {
      await Promise.all(services('tunnel').map(async (one) => one.start()));
      await measure('a session after all of them have said that they are ready', 5, again);
    });

    const agent = world.agents.get('a1');
    await agent?.stop('SIGKILL');
    await measure('a session after kill -9 of its agent and its start', 5, async () => {
      agent?.start();
      await again();
    });
  }, 180_000);
});

describe('a rolling restart of every service', () => {
  it('refuses no new connection, fails no command of gate, and loses no event', async () => {
    const load = await startLoad({ person: alice, target, perSecond: 3 });
    let isOver = false;
    const listing = listUntil(() => isOver);
    for (const name of ['auth', 'audit', 'tunnel', 'proxy'] as const)
      for (const service of services(name)) {
        expect(await service.stop(), name).toBe(0);
        await service.start();
      }
    isOver = true;
    const lists = await listing;
    await load.stop();
    expect(load.failed).toEqual([]);
    expect(lists.filter(({ code }) => code !== 0)).toEqual([]);
    expect(lists.length).toBeGreaterThan(10);
    expect(load.done.length).toBeGreaterThan(20);
    expect(findFaults(await readLedger(world.home), load.attempts)).toEqual([]);
  }, 240_000);
});

describe('all tunnel replicas at once, under many agents', () => {
  /** Fewer than the scenario has, at a rate that makes them wait as long: `pnpm soak agents` has 2,000. */
  const count = 150;
  const admissionsPerSecond = 20;

  it('come back as they are let in, and the proxies serve people meanwhile (TUN-07)', async () => {
    await setLimits('tunnel', { admissions_per_second: admissionsPerSecond });
    // Agents and people all come from one address here, which may have a hundred connections that are not proven yet.
    await setLimits('proxy', { unauthenticated_per_address: 2_000 });
    await using agents = await startManyAgents(world, count);
    // A busy machine keeps one or the other waiting for too long.
    expect(agents.failed.length, agents.failed.join()).toBeLessThan(count / 10);
    const all = 2 * (agents.joined + world.agents.size);
    await eventually(
      'all tunnels',
      async () => (await countTunnels(services('tunnel'))) >= all,
      120_000,
    );

    await Promise.all(services('tunnel').map(async (one) => one.stop('SIGKILL')));
    await Promise.all(services('tunnel').map(async (one) => one.start()));
    const from = performance.now();
    let isOver = false;
    const [samples, { logins, slowestReadyMs, slowestLoginMs }] = await Promise.all([
      sampleUntil(all).finally(() => {
        isOver = true;
      }),
      serveUntil(() => isOver),
    ]);
    const rate = steepest(samples);
    console.log(
      `${all} tunnels back after ${((performance.now() - from) / 1_000).toFixed(1)} s, at most ${rate.toFixed(0)} a second; ` +
        `meanwhile /readyz within ${slowestReadyMs.toFixed(0)} ms, ${logins} logins within ${slowestLoginMs.toFixed(0)} ms`,
    );
    // A second's worth may come at once at each replica.
    expect(rate).toBeLessThan(1.6 * admissionsPerSecond * services('tunnel').length);
    const first = samples.find(({ at }) => at > from + 1_000);
    expect(first?.count).toBeLessThan(all / 2);
    expect(logins).toBeGreaterThan(1);
  }, 400_000);
});

async function setLimits(name: ServiceName, limits: Record<string, number>): Promise<void> {
  for (const replica of services(name)) {
    replica.configure((config) => ({
      ...config,
      limits: { ...(config['limits'] as object), ...limits },
    }));
    await replica.stop();
    await replica.start();
  }
}

/** How many tunnels stood, every half a second until all do. */
async function sampleUntil(all: number): Promise<TunnelSample[]> {
  const samples: TunnelSample[] = [];
  await eventually(
    'all tunnels again',
    async () => {
      await pause(500);
      const count = await countTunnels(services('tunnel'));
      samples.push({ at: performance.now(), count });
      return count >= all;
    },
    120_000,
  );
  return samples;
}

/** Asks both proxies whether they are ready, and logs people in; each must succeed. */
async function serveUntil(isOver: () => boolean) {
  const result = { logins: 0, slowestReadyMs: 0, slowestLoginMs: 0 };
  while (!isOver()) {
    // Two of them: nobody's code is taken twice.
    const person = result.logins % 2 === 0 ? alice : world.person('bob');
    const { code, ms, stdout } = await person.tryLogin();
    expect(code, stdout).toBe(0);
    result.logins += 1;
    result.slowestLoginMs = Math.max(result.slowestLoginMs, ms);
    for (let second = 0; second < 4 && !isOver(); second += 1) {
      const at = performance.now();
      for (const proxy of services('proxy')) expect((await proxy.readiness()).code).toBe(200);
      result.slowestReadyMs = Math.max(result.slowestReadyMs, performance.now() - at);
      await pause(1_000);
    }
  }
  return result;
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
