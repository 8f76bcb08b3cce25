import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createTestFolder } from '../testing.js';
import { isAgentAlive } from './agent-probe.js';

async function startAgent(
  path: string,
  onConnection: (socket: Socket) => void,
): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    onConnection(socket);
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('isAgentAlive', () => {
  it('hears an agent that answers', async () => {
    using folder = createTestFolder();
    const path = join(folder.path, 'agent');
    await using _agent = await startAgent(path, (socket) =>
      socket.once('data', () => socket.write(Buffer.from([0, 0, 0, 5, 12, 0, 0, 0, 0]))),
    );
    expect(await isAgentAlive(path, 5000)).toBe(true);
  });

  // A forwarded agent whose other end is asleep would hang every ssh.
  it('waits no longer than told for one that hangs', async () => {
    using folder = createTestFolder();
    const path = join(folder.path, 'agent');
    await using _agent = await startAgent(path, () => undefined);
    const started = performance.now();
    expect(await isAgentAlive(path, 200)).toBe(false);
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it('knows one that is gone', async () => {
    using folder = createTestFolder();
    const path = join(folder.path, 'agent');
    expect(await isAgentAlive(path, 5000)).toBe(false);
    await using _agent = await startAgent(path, (socket) => socket.end());
    expect(await isAgentAlive(path, 5000)).toBe(false);
  });
});
