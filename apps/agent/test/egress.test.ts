import { createServer, type Server } from 'node:http';
import net from 'node:net';

import { createAgent, type Agent } from '@gatehouse/agent';
import { createLogger } from '@gatehouse/kit/log';
import { expect, it, onTestFinished } from 'vitest';

import { makeDir, startEcho, startTestCluster } from './test-cluster.js';

interface ConnectProxy {
  readonly port: number;
  readonly asked: string[];
  stop(): Promise<void>;
}

/** An HTTP proxy that opens connections by CONNECT, for who knows the password. */
async function startConnectProxy(password?: string, port = 0): Promise<ConnectProxy> {
  const asked: string[] = [];
  const sockets = new Set<net.Socket>();
  const expected = password && `Basic ${Buffer.from(`agent:${password}`).toString('base64')}`;
  const server: Server = createServer((_request, response) => response.writeHead(405).end());
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.on('connect', (request, socket: net.Socket) => {
    if (expected && request.headers['proxy-authorization'] !== expected) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    asked.push(request.url ?? '');
    const [host = '', targetPort] = (request.url ?? '').split(':');
    const back = net.connect({ host, port: Number(targetPort), allowHalfOpen: true });
    sockets.add(back);
    back.on('error', () => socket.destroy());
    back.once('close', () => socket.destroy());
    socket.once('close', () => back.destroy());
    back.once('connect', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      back.pipe(socket);
      socket.pipe(back);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const proxy = {
    port: (server.address() as net.AddressInfo).port,
    asked,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  onTestFinished(async () => proxy.stop());
  return proxy;
}

it.each([undefined, 'p@ss:word'])(
  'joins and keeps its tunnel through an HTTP proxy, also one that restarts (password: %s)',
  async (password) => {
    const cluster = await startTestCluster();
    const echo = await startEcho();
    const proxy = await startConnectProxy(password);
    const lines: string[] = [];
    const logger = createLogger({
      name: 'agent',
      level: 'trace',
      destination: { write: (line: string) => void lines.push(line) },
    });
    const login = password === undefined ? '' : `agent:${encodeURIComponent(password)}@`;
    const start = async (environment: Record<string, string>, dataDir = makeDir()) => {
      const agent: Agent = await createAgent(
        {
          proxy: cluster.port.address,
          caPin: cluster.caPin,
          token: cluster.auth.addToken(),
          dataDir,
          environment,
          config: {
            name: 'a1',
            targets: [
              { kind: 'app', name: 'echo', spec: { protocol: 'tcp', address: echo.address } },
            ],
          },
        },
        { logger },
      );
      onTestFinished(async () => agent[Symbol.asyncDispose]());
      return agent;
    };
    const agent = await start({ HTTPS_PROXY: `http://${login}127.0.0.1:${proxy.port}` });
    // The page of the cluster, auth-service, the tunnel: all of them went this way.
    expect(new Set(proxy.asked)).toEqual(new Set([cluster.port.address]));
    expect(proxy.asked.length).toBeGreaterThanOrEqual(3);
    const directory = cluster.directory();
    const talk = async () => {
      const stream = await directory.dial({
        group: agent.agentId,
        sessionId: 'ses_1',
        grant: async (id) => cluster.grant(id),
        signal: AbortSignal.timeout(10_000),
      });
      stream.end('through');
      return (await stream.toArray()).join('');
    };
    await directory.waitFor(agent.agentId, 5000);
    expect(await talk()).toBe('through');

    await proxy.stop();
    await expect.poll(() => directory.isOnline(agent.agentId), { timeout: 15_000 }).toBe(false);
    await startConnectProxy(password, proxy.port);
    expect(await directory.waitFor(agent.agentId, 15_000)).toBe(true);
    expect(await talk()).toBe('through');
    expect(lines.join('')).not.toContain('p@ss:word');
    expect(lines.join('')).not.toContain(encodeURIComponent('p@ss:word'));

    const before = proxy.asked.length;
    await start({ HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`, NO_PROXY: '127.0.0.1' });
    expect(proxy.asked.length).toBe(before);
  },
);

it('says so when the proxy wants a password, without repeating it', async () => {
  const cluster = await startTestCluster();
  const proxy = await startConnectProxy('secret');
  const start = createAgent({
    proxy: cluster.port.address,
    caPin: cluster.caPin,
    token: cluster.auth.addToken(),
    dataDir: makeDir(),
    environment: { HTTPS_PROXY: `http://agent:wrong@127.0.0.1:${proxy.port}` },
  });
  await expect(start).rejects.toMatchObject({ code: 'AGENT_EGRESS_REFUSED' });
  await start.catch((error: Error) => {
    expect(error.message).toContain('407');
    expect(error.message).not.toContain('wrong');
  });
});
