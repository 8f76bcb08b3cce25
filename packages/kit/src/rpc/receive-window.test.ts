import { once } from 'node:events';
import { connect, type Settings } from 'node:http2';
import { createServer, type AddressInfo } from 'node:net';

import { Server, ServerCredentials } from '@grpc/grpc-js';
import { expect, it, onTestFinished } from 'vitest';

import { bulkWindowBytes, widenReceiveWindow } from './receive-window.js';

// The window is set through a private field of the library: this is what tells when an update moves it.
it('tells callers of the wider window', async () => {
  const server = new Server();
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  onTestFinished(() => injector.destroy());
  widenReceiveWindow(server, bulkWindowBytes);
  const listener = createServer((socket) => injector.injectConnection(socket));
  onTestFinished(() => void listener.close());
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const client = connect(`http://127.0.0.1:${(listener.address() as AddressInfo).port}`);
  onTestFinished(() => client.destroy());
  const heard: Settings[] = [];
  client.on('remoteSettings', (settings: Settings) => heard.push(settings));
  await expect.poll(() => heard.at(-1)?.initialWindowSize).toBe(bulkWindowBytes);
});
