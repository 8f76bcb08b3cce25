import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';

import { createLogger } from '@gatehouse/kit/log';
import { describe, expect, it } from 'vitest';

import { RemoteForwards } from './remote-forwards.js';

const logger = createLogger({ name: 'test', level: 'silent' });

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const isListening = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });

describe('the ports of a connection', () => {
  it('are not opened, and do not stay, behind its end', async () => {
    const forwards = new RemoteForwards({ endpoint: () => undefined, isRoot: false, logger });
    const ask = (port: number) =>
      forwards.handle({
        name: 'tcpip-forward',
        wantReply: true,
        address: { host: '127.0.0.1', port },
      });
    const [kept, begun, late] = [await freePort(), await freePort(), await freePort()];
    expect(await ask(kept)).toBeDefined();
    expect(await isListening(kept)).toBe(true);
    const answer = ask(begun);
    forwards[Symbol.dispose]();
    expect(await answer).toBeUndefined();
    expect(await ask(late)).toBeUndefined();
    for (const port of [kept, begun, late]) expect(await isListening(port)).toBe(false);
  });
});
