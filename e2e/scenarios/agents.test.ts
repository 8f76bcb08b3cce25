/** Agents and their tunnels: TUN-01, TUN-02, TUN-09 (names), TUN-11, and Must-show C. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { AgentProcess, joinAgent, waitForAgent } from '../stack/agent.js';
import { waitForEvent } from '../stack/events.js';
import { eventually, run } from '../stack/run.js';
import { Wire } from '../stack/wire.js';
import { createWorld, type World } from '../stack/world.js';

describe('agents', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld({ only: 'staging' });
  });
  afterAll(async () => world[Symbol.asyncDispose]());

  it('listen on no port, and are the only way to the target (Must-show C)', async () => {
    const agent = world.agents.get('a1');
    const listening = await run('ss', ['-ltnp']);
    expect(listening.stdout).toContain(`pid=${world.home.pid},`);
    expect(listening.stdout).not.toContain(`pid=${agent?.pid ?? 0},`);
    const status = await world.person('alice').json<Record<string, string>>(['status']);
    const straight = await run('ssh', [
      '-F',
      '/dev/null',
      '-o',
      'BatchMode=yes',
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'UserKnownHostsFile=/dev/null',
      '-i',
      status['sshKeyFile'] ?? '',
      '-o',
      `CertificateFile=${status['sshCertFile']}`,
      '-o',
      'IdentitiesOnly=yes',
      '-p',
      String(world.web1.port),
      'deploy@127.0.0.1',
      'true',
    ]);
    expect(straight.code).toBe(255);
    expect(straight.stderr).toContain('Permission denied');
    expect((await world.person('alice').ssh(['deploy@web-1', 'true'])).code).toBe(0);
  });

  it('join with a valid token once; every other is refused with one text (TUN-01)', async () => {
    const { ada } = world;
    const from = new Date().toISOString();
    const { token } = await ada.json<{ token: string }>(['tokens', 'add', '--type', 'agent']);
    const short = await ada.json<{ token: string }>([
      'tokens',
      'add',
      '--type',
      'agent',
      '--ttl',
      '1s',
    ]);
    const good = new AgentProcess(world.home, 'good');
    good.configure([
      {
        kind: 'node',
        name: 'tok-1',
        labels: { env: 'staging' },
        spec: { address: '127.0.0.1:1', host_key: world.web1.hostKey },
      },
    ]);
    good.start({ token });
    await waitForAgent(ada, good, ['tok-1']);
    const tries = [
      ['used', token, 'used'],
      ['expired', short.token, 'expired'],
      ['forged', `${token.slice(0, -4)}AAAA`, 'forged'],
    ] as const;
    for (const [name, bad] of tries) {
      const agent = new AgentProcess(world.home, `bad-${name}`);
      agent.configure([]);
      agent.start({ token: bad });
      await eventually('the agent to give up', () => agent.exitCode !== null, 20_000);
      expect(agent.exitCode).toBe(1);
      expect(agent.log).toContain('join token is not valid');
    }
    for (const [, , reason] of tries)
      await waitForEvent(
        ada,
        { type: 'agent.join_refused', from },
        (event) => event.reason === reason,
      );
    await waitForEvent(ada, { type: 'agent.joined', from });
    await good.stop();
  });

  it('can not take a name that another agent serves (TUN-09)', async () => {
    const thief = new AgentProcess(world.home, 'thief');
    thief.configure([
      {
        kind: 'node',
        name: 'web-1',
        labels: { env: 'staging' },
        spec: { address: '127.0.0.1:1', host_key: world.web1.hostKey },
      },
    ]);
    const { token } = await world.ada.json<{ token: string }>(['tokens', 'add', '--type', 'agent']);
    thief.start({ token });
    await eventually('the refusal in its log', () => thief.log.includes('name_taken'), 20_000);
    expect((await world.person('alice').ssh(['deploy@web-1', 'echo mine'])).stdout).toBe('mine\n');
    await thief.stop();
  });

  it('are back after each of five cuts, and offline in between (TUN-02)', async () => {
    const [host, port] = world.home.ready.proxyAddr.split(':');
    expect(host).toBe('localhost');
    await using wire = new Wire(Number(port));
    const proxy = await wire.listen();
    const agent = new AgentProcess(world.home, 'wired');
    agent.configure([
      {
        kind: 'node',
        name: 'wired-1',
        labels: { env: 'staging' },
        spec: { address: world.web1.address, host_key: world.web1.hostKey },
      },
    ]);
    const { token } = await world.ada.json<{ token: string }>(['tokens', 'add', '--type', 'agent']);
    agent.start({ token, proxy });
    await waitForAgent(world.ada, agent, ['wired-1']);
    const alice = world.person('alice');
    for (let round = 0; round < 5; round += 1) {
      expect((await alice.ssh(['deploy@wired-1', 'true'])).code).toBe(0);
      wire.cut();
      await eventually(
        'offline',
        async () =>
          (await alice.ssh(['deploy@wired-1', 'true'])).stderr.includes(
            'agent for wired-1 is offline',
          ),
        30_000,
      );
      wire.mend();
      await waitForAgent(world.ada, agent, ['wired-1'], 15_000);
    }
    const disconnected = await world.ada.json<{ events: unknown[] }>([
      'audit',
      'search',
      '--type',
      'agent.disconnected',
    ]);
    expect(disconnected.events.length).toBeGreaterThanOrEqual(5);
    await agent.stop();
  }, 180_000);

  it("keep everybody else's sessions while one user aborts hundreds of connections (TUN-11)", async () => {
    const alice = world.person('alice');
    const config = await alice.sshConfig();
    const steady = run(
      'ssh',
      ['-F', config, 'deploy@web-1', 'for i in $(seq 80); do echo $i; sleep 0.1; done'],
      { timeoutMs: 60_000 },
    );
    const before = world.web1.connections;
    const abort = async () => {
      await run('ssh', ['-F', config, '-o', 'BatchMode=yes', 'deploy@web-1', 'sleep 30'], {
        timeoutMs: 300 + Math.random() * 600,
      });
    };
    for (let wave = 0; wave < 10; wave += 1) await Promise.all(Array.from({ length: 6 }, abort));
    const result = await steady;
    expect(result.code).toBe(0);
    expect(result.stdout.trim().split('\n').at(-1)).toBe('80');
    expect(world.web1.connections).toBeGreaterThan(before);
  }, 180_000);

  it('keep several targets and are listed with them', async () => {
    const agent = await joinAgent(world.ada, 'many', [
      {
        kind: 'node',
        name: 'many-1',
        labels: { env: 'staging' },
        spec: { address: world.web1.address, host_key: world.web1.hostKey },
      },
      {
        kind: 'node',
        name: 'many-2',
        labels: { env: 'staging' },
        spec: { address: world.web1.address, host_key: world.web1.hostKey },
      },
    ]);
    const agents = await world.ada.json<{ name: string; targets: string[]; online: boolean }[]>([
      'agents',
      'ls',
    ]);
    expect(agents.find(({ name }) => name === 'many')?.targets.toSorted()).toEqual([
      'many-1',
      'many-2',
    ]);
    await agent.stop();
  });
});
