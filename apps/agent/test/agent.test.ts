import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Agent } from '@gatehouse/agent';
import { createTestAuthorities, issueTestService } from '@gatehouse/identity/testing';
import type { AgentProtocol } from '@gatehouse/protocol-api';
import type { AgentDirectory } from '@gatehouse/tunnel';
import { expect, it, onTestFinished } from 'vitest';

import { makeDir, startEcho, startTestCluster, type TestCluster } from './test-cluster.js';

const listed = (address: string, name = 'echo') => ({
  kind: 'app' as const,
  name,
  spec: { protocol: 'tcp', address },
});

async function dial(
  cluster: TestCluster,
  directory: AgentDirectory,
  agent: Agent,
  fields: Parameters<TestCluster['grant']>[1] = {},
): Promise<Duplex & { tunnelReplica: string }> {
  return directory.dial({
    group: agent.agentId,
    sessionId: 'ses_1',
    grant: async (agentId) => cluster.grant(agentId, fields),
    signal: AbortSignal.timeout(15_000),
  });
}

async function echoed(stream: Duplex, text: string): Promise<string> {
  stream.end(text);
  return (await stream.toArray()).join('');
}

it('joins with a token, keeps who it is in a file of its own, and needs neither again', async () => {
  const cluster = await startTestCluster();
  const echo = await startEcho();
  const token = cluster.auth.addToken();
  const agent = await cluster.startAgent({ targets: [listed(echo.address)] }, { token });
  const file = join(agent.dataDir, 'agent.json');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(file, 'utf8')).not.toContain(token);
  const directory = cluster.directory();
  expect(await echoed(await dial(cluster, directory, agent), 'hello')).toBe('hello');
  expect(cluster.auth.registrations[0]).toMatchObject({
    agentId: agent.agentId,
    clientAddress: '203.0.113.7:50000',
    targets: [{ kind: 'app', name: 'echo', protocol: 'tcp' }],
  });

  await expect(cluster.startAgent({}, { dataDir: agent.dataDir })).rejects.toMatchObject({
    code: 'AGENT_DATA_DIR_IN_USE',
  });
  await agent[Symbol.asyncDispose]();
  await expect(cluster.startAgent({}, { token, dataDir: makeDir() })).rejects.toMatchObject({
    publicMessage: 'join token is not valid',
  });
  const again = await cluster.startAgent(
    { targets: [listed(echo.address)] },
    { token, dataDir: agent.dataDir },
  );
  expect(again.agentId).toBe(agent.agentId);
  expect(await echoed(await dial(cluster, directory, again), 'again')).toBe('again');
});

it('joins only a cluster that has the pin', async () => {
  const cluster = await startTestCluster();
  Object.assign(cluster, { caPin: `sha256:${'0'.repeat(64)}` });
  await expect(cluster.startAgent({})).rejects.toMatchObject({ code: 'AGENT_CA_PIN_MISMATCH' });
});

it('connects only what a proxy of its cluster grants for it, once, and what is in its list', async () => {
  const cluster = await startTestCluster();
  const echo = await startEcho();
  const hidden = await startEcho();
  const agent = await cluster.startAgent({ targets: [listed(echo.address)] });
  const directory = cluster.directory();
  const stranger = await createTestAuthorities('test');
  const now = Math.floor(Date.now() / 1000);
  const { authorities, proxy } = cluster;
  const attempts: Record<string, () => Promise<string>> = {
    'a grant by a proxy of another authority': async () =>
      cluster.grant(agent.agentId, {}, await issueTestService(stranger, 'proxy')),
    'a grant by a tunnel-service': async () =>
      cluster.grant(agent.agentId, {}, await issueTestService(authorities, 'tunnel')),
    'the certificate of a proxy with another key': async () => {
      const other = await issueTestService(authorities, 'proxy');
      return cluster.grant(agent.agentId, {}, { ...proxy, privateKeyPem: other.privateKeyPem });
    },
    'a grant for another agent': async () => cluster.grant('agt_other'),
    'an expired grant': async () => cluster.grant(agent.agentId, { exp: now - 150 }),
    'a grant of another session': async () => cluster.grant(agent.agentId, { session: 'ses_2' }),
    'a target that is not in the list': async () =>
      cluster.grant(agent.agentId, { target: hidden.address }),
    'another port of a listed target': async () =>
      cluster.grant(agent.agentId, { target: `echo:${hidden.address.split(':')[1]}` }),
    'the metadata address': async () => cluster.grant(agent.agentId, { target: '169.254.169.254' }),
    'a listed target by another protocol': async () =>
      cluster.grant(agent.agentId, { protocol: 'ssh' }),
    garbage: async () => 'not.a.grant',
    nothing: async () => '',
  };
  const tryWith = async (grant: string) =>
    directory.dial({
      group: agent.agentId,
      sessionId: 'ses_1',
      grant: async () => grant,
      signal: AbortSignal.timeout(10_000),
    });
  for (const [name, attempt] of Object.entries(attempts))
    await expect(attempt().then(tryWith), name).rejects.toMatchObject({
      reason: 'not_allowed_by_agent',
    });
  expect(echo.connections()).toBe(0);
  expect(hidden.connections()).toBe(0);

  const grant = await cluster.grant(agent.agentId);
  expect(await echoed(await tryWith(grant), 'listed')).toBe('listed');
  await expect(tryWith(grant), 'a replayed grant').rejects.toMatchObject({
    reason: 'not_allowed_by_agent',
  });
  expect(echo.connections()).toBe(1);
});

// Else a tunnel replica could name an authority of its own, and open by it whatever it likes (D36).
it('takes from a tunnel replica no authority that auth-service does not confirm', async () => {
  const cluster = await startTestCluster(0);
  const stranger = await createTestAuthorities('test');
  const { trust } = cluster.auth;
  const tells = { ...trust, hostTlsCa: [...trust.hostTlsCa, stranger.hostTls.certificate] };
  await cluster.addTunnel({ tells });
  const echo = await startEcho();
  const directory = cluster.directory();
  const forged = await issueTestService(stranger, 'proxy');
  const dialForged = async ({ agentId: group }: Agent) =>
    directory.dial({
      group,
      sessionId: 'ses_1',
      grant: async (agentId) => cluster.grant(agentId, {}, forged),
      signal: AbortSignal.timeout(15_000),
    });
  const agent = await cluster.startAgent({ targets: [listed(echo.address)] });
  // Longer than an agent takes to ask.
  await sleep(7_000);
  await expect(dialForged(agent)).rejects.toMatchObject({ reason: 'not_allowed_by_agent' });
  expect(echo.connections()).toBe(0);
  // Control: confirmed, it counts.
  cluster.auth.trust = tells;
  const other = await cluster.startAgent({ targets: [listed(echo.address)] });
  await expect
    .poll(async () => dialForged(other).then(async (stream) => echoed(stream, 'by news'), String), {
      timeout: 60_000,
    })
    .toBe('by news');
}, 90_000);

it('says why a target could not be reached', async () => {
  const cluster = await startTestCluster();
  const silent = net.createServer();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as net.AddressInfo;
  silent.close();
  await once(silent, 'close');
  const agent = await cluster.startAgent({
    targets: [listed(`127.0.0.1:${port}`, 'closed'), listed('no-such-host.invalid:22', 'nameless')],
  });
  const directory = cluster.directory();
  await expect(dial(cluster, directory, agent, { target: 'closed' })).rejects.toMatchObject({
    reason: 'refused',
  });
  await expect(dial(cluster, directory, agent, { target: 'nameless' })).rejects.toMatchObject({
    reason: 'not_found',
  });
});

it('keeps tunnels to two replicas, and goes on by one when the other dies', async () => {
  const cluster = await startTestCluster(2);
  const echo = await startEcho();
  const directory = cluster.directory();
  const agent = await cluster.startAgent({ targets: [listed(echo.address)] });
  await expect.poll(() => new Set(agent.replicas()).size, { timeout: 10_000 }).toBe(2);
  await expect.poll(() => directory.find(agent.agentId).length, { timeout: 15_000 }).toBe(2);
  const stream = await dial(cluster, directory, agent);
  const dying = cluster.tunnels.find(({ replicaId }) => replicaId === stream.tunnelReplica);
  expect(dying).toBeDefined();
  const broken = once(stream.resume(), 'error');
  await cluster.dropTunnel(dying!);
  expect(await broken).toMatchObject([{ reason: 'tunnel_lost' }]);
  expect(await echoed(await dial(cluster, directory, agent), 'other way')).toBe('other way');
});

it('comes back to two replicas when both tunnels were lost at once', async () => {
  const cluster = await startTestCluster(2);
  cluster.directory();
  const agent = await cluster.startAgent({ targets: [] });
  const replicas = () => new Set(agent.replicas()).size;
  await expect.poll(replicas, { timeout: 10_000 }).toBe(2);
  for (let round = 0; round < 3; round += 1) {
    cluster.port.cut();
    await expect.poll(replicas, { timeout: 15_000 }).toBe(0);
    cluster.port.restore(2);
    await expect.poll(replicas, { timeout: 10_000 }).toBe(2);
  }
});

it('has a second tunnel soon after there is a second replica, and after that one came back', async () => {
  const cluster = await startTestCluster();
  const directory = cluster.directory();
  const agent = await cluster.startAgent({ targets: [] });
  const replicas = () => agent.replicas().toSorted();
  await expect.poll(replicas).toHaveLength(1);
  for (let round = 0; round < 2; round += 1) {
    const second = await cluster.addTunnel();
    directory.use(cluster.tunnels.map(({ address }) => address));
    const both = cluster.tunnels.map(({ replicaId }) => replicaId).toSorted();
    // By itself it would look after 7.5 s at the earliest.
    await expect.poll(replicas, { timeout: 6_000 }).toEqual(both);
    await cluster.dropTunnel(second);
    await expect.poll(replicas).toHaveLength(1);
  }
});

it('is offline when cut and back soon after, five times over, with nothing left behind', async () => {
  const cluster = await startTestCluster();
  const [tunnel] = cluster.tunnels;
  const echo = await startEcho();
  const agent = await cluster.startAgent({ targets: [listed(echo.address)] });
  const directory = cluster.directory();
  await directory.waitFor(agent.agentId, 5000);
  for (let round = 0; round < 5; round += 1) {
    const open = await dial(cluster, directory, agent);
    const broken = once(open.resume(), 'error');
    cluster.port.cut();
    expect(await broken).toMatchObject([{ reason: 'agent_lost' }]);
    await expect.poll(() => directory.isOnline(agent.agentId), { timeout: 15_000 }).toBe(false);
    await expect(dial(cluster, directory, agent)).rejects.toMatchObject({ reason: 'offline' });
    await expect
      .poll(() => cluster.auth.presence.get(tunnel!.replicaId), { timeout: 10_000 })
      .toEqual([]);
    cluster.port.restore();
    expect(await directory.waitFor(agent.agentId, 15_000)).toBe(true);
    expect(await echoed(await dial(cluster, directory, agent), 'back')).toBe('back');
  }
  await expect.poll(() => tunnel!.tunnels).toBe(1);
  await expect.poll(() => tunnel!.dials).toBe(0);
  await expect.poll(() => agent.connections).toBe(0);
  // Arrivals are told with the next report, every 5 s.
  await expect
    .poll(() => cluster.auth.presence.get(tunnel!.replicaId), { timeout: 10_000 })
    .toEqual([agent.agentId]);
});

it('ends the tunnels of a locked agent, lets it in when the lock is gone, and refuses locked people', async () => {
  const cluster = await startTestCluster();
  const echo = await startEcho();
  const agent = await cluster.startAgent({ targets: [listed(echo.address)] });
  const directory = cluster.directory();
  await directory.waitFor(agent.agentId, 5000);
  cluster.auth.setLock('l1', { user: 'alice' });
  await expect
    .poll(async () =>
      dial(cluster, directory, agent).then(
        (stream) => stream.destroy() && 'open',
        (error: { reason: string }) => error.reason,
      ),
    )
    .toBe('not_allowed_by_agent');
  expect(await echoed(await dial(cluster, directory, agent, { user: 'bob' }), 'bob')).toBe('bob');
  // A lock of which it can't be told whom it names may name bob.
  const bob = async () =>
    dial(cluster, directory, agent, { user: 'bob' }).then(
      (stream) => stream.destroy() && 'open',
      (error: { reason: string }) => error.reason,
    );
  cluster.auth.setLock('l3', { of_a_later_version: 'x' });
  await expect.poll(bob).toBe('not_allowed_by_agent');
  cluster.auth.setLock('l3', undefined);
  await expect.poll(bob).toBe('open');
  for (const name of [agent.agentId, 'a1']) {
    cluster.auth.setLock('l2', { agent: name });
    await expect.poll(() => directory.isOnline(agent.agentId), { timeout: 15_000 }).toBe(false);
    await sleep(1000);
    expect(directory.isOnline(agent.agentId)).toBe(false);
    cluster.auth.setLock('l2', undefined);
    expect(await directory.waitFor(agent.agentId, 15_000)).toBe(true);
  }
});

it('moves to another replica at once when one drains, and the open connection may finish', async () => {
  const cluster = await startTestCluster(1);
  const echo = await startEcho();
  const agent = await cluster.startAgent({ targets: [listed(echo.address)] });
  const [first] = cluster.tunnels;
  const before = cluster.directory();
  await before.waitFor(agent.agentId, 5000);
  const open = await dial(cluster, before, agent);
  const second = await cluster.addTunnel();
  const stopped = cluster.dropTunnel(first!);
  await expect.poll(() => agent.replicas(), { timeout: 15_000 }).toEqual([second.replicaId]);
  expect(await echoed(open, 'finished in order')).toBe('finished in order');
  await stopped;
});

it('serves a target that a document gives it, within seconds, and no other', async () => {
  const cluster = await startTestCluster();
  const echo = await startEcho();
  const agent = await cluster.startAgent({ dynamic: ['db-*'] });
  const directory = cluster.directory();
  await directory.waitFor(agent.agentId, 5000);
  const outcome = async (target: string) =>
    dial(cluster, directory, agent, { target }).then(
      async (stream) => echoed(stream, 'served'),
      (error: { reason: string }) => error.reason,
    );
  expect(await outcome('db-1')).toBe('not_allowed_by_agent');
  const specJson = JSON.stringify({ protocol: 'tcp', address: echo.address });
  for (const name of ['web-1', 'db-1'])
    cluster.auth.addDocument({ kind: 'app', name, labels: {}, protocol: 'tcp', specJson });
  await expect.poll(async () => outcome('db-1'), { timeout: 15_000, interval: 500 }).toBe('served');
  expect(await outcome('web-1')).toBe('not_allowed_by_agent');
});

it('is served on after a reconnect while auth-service is away', async () => {
  const cluster = await startTestCluster();
  const echo = await startEcho();
  const agent = await cluster.startAgent({ targets: [listed(echo.address)] });
  const directory = cluster.directory();
  await directory.waitFor(agent.agentId, 5000);
  await cluster.auth[Symbol.asyncDispose]();
  cluster.port.cut();
  await expect.poll(() => directory.isOnline(agent.agentId)).toBe(false);
  cluster.port.restore();
  expect(await directory.waitFor(agent.agentId, 20_000)).toBe(true);
  expect(await echoed(await dial(cluster, directory, agent), 'alone')).toBe('alone');
});

it('says timed out of a target that drops packets before the dial itself is given up', async () => {
  const cluster = await startTestCluster();
  const never: AgentProtocol = {
    name: 'tcp',
    connect: async ({ signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error);
        });
      }),
  };
  const agent = await cluster.startAgent(
    { targets: [listed('192.0.2.1:22')] },
    { protocols: { tcp: () => never } },
  );
  const directory = cluster.directory();
  const startedMs = performance.now();
  await expect(dial(cluster, directory, agent)).rejects.toMatchObject({ reason: 'timed_out' });
  expect(performance.now() - startedMs).toBeLessThan(14_500);
});

it('renews a certificate that is a day old and goes on under the new one', async () => {
  const cluster = await startTestCluster();
  const echo = await startEcho();
  cluster.auth.issueAgeMs = 25 * 3_600_000;
  const agent = await cluster.startAgent({ targets: [listed(echo.address)] });
  await expect.poll(() => cluster.auth.renewals, { timeout: 15_000 }).toBe(1);
  const issuedAtMs = () => {
    const stored = JSON.parse(readFileSync(join(agent.dataDir, 'agent.json'), 'utf8')) as {
      certificate: string;
    };
    const certificate = new X509Certificate(Buffer.from(stored.certificate, 'base64'));
    return certificate.validFromDate.getTime();
  };
  await expect.poll(() => Date.now() - issuedAtMs()).toBeLessThan(3_600_000);
  const directory = cluster.directory();
  expect(await directory.waitFor(agent.agentId, 5000)).toBe(true);
  expect(await echoed(await dial(cluster, directory, agent), 'renewed')).toBe('renewed');
});

it('refuses a tunnel to anything but an agent', async () => {
  const cluster = await startTestCluster();
  const tls = await import('node:tls');
  const { proxy, authorities } = cluster;
  const { derToPem } = await import('@gatehouse/identity');
  for (const part of [proxy, undefined]) {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: Number(cluster.port.address.split(':')[1]),
      servername: 'tunnel.test.gatehouse.internal',
      ALPNProtocols: ['gatehouse-tunnel'],
      ca: derToPem(authorities.hostTls.certificate, 'CERTIFICATE'),
      checkServerIdentity: () => undefined,
      ...(part && { key: part.privateKeyPem, cert: derToPem(part.certificate, 'CERTIFICATE') }),
    });
    socket.on('error', () => undefined);
    socket.resume();
    await once(socket, 'close').catch(() => undefined);
  }
  expect(cluster.auth.registrations).toEqual([]);
  expect(cluster.tunnels[0]?.tunnels).toBe(0);
});

it('runs from its launcher, says what is missing, opens no port, and ends on SIGTERM', async () => {
  const cluster = await startTestCluster();
  const echo = await startEcho();
  const dataDir = makeDir();
  const config = join(makeDir(), 'agent.yaml');
  const targets = [listed(echo.address)];
  writeFileSync(config, JSON.stringify({ name: 'a1', targets }));
  const start = (args: readonly string[]) => {
    const launcher = join(import.meta.dirname, '../../../bin/gate-agent');
    const child = spawn(launcher, [...args, '--data-dir', dataDir], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    return child;
  };
  const lost = start([]);
  expect((await lost.stderr.toArray()).join('')).toContain('--proxy and --token are needed');

  const { caPin, port, auth } = cluster;
  const where = ['--proxy', port.address, '--ca-pin', caPin];
  const first = start([...where, '--token', auth.addToken(), '--config', config]);
  const directory = cluster.directory();
  const online = async () => {
    await expect.poll(() => directory.tunnels().length, { timeout: 30_000 }).toBe(1);
    const [tunnel] = directory.tunnels();
    return { agentId: tunnel!.agentId } as Agent;
  };
  const agent = await online();
  expect(await echoed(await dial(cluster, directory, agent), 'from afar')).toBe('from afar');
  expect(listeningPorts(first.pid!)).toEqual([]);
  first.kill('SIGTERM');
  expect(await once(first, 'exit')).toEqual([0, null]);
  await expect.poll(() => directory.tunnels().length).toBe(0);

  const later = start([]);
  expect((await online()).agentId).toBe(agent.agentId);
  expect(await echoed(await dial(cluster, directory, agent), 'again')).toBe('again');
  later.kill('SIGTERM');
  await once(later, 'exit');
});

/** Local addresses of listening TCP sockets that a process has open. */
function listeningPorts(pid: number): string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );
  expect(inodes.size).toBeGreaterThan(0);
  const rows = ['tcp', 'tcp6'].flatMap((name) =>
    readFileSync(`/proc/${pid}/net/${name}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/)),
  );
  return rows
    .filter(([, , , state, , , , , , inode]) => state === '0A' && inodes.has(inode ?? ''))
    .map(([, local]) => local ?? '');
}
