import { createServer, type AddressInfo, type Socket } from 'node:net';

import {
  connectThroughPort,
  talkInLines,
  type ProtocolFixture,
} from '@gatehouse/protocol-api/testing';

export const fixture: ProtocolFixture = {
  kind: 'app',
  labelsField: 'app_labels',
  allow: {},
  isRecorded: true,
  hasWords: true,
  async startTarget() {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const stop = async () => {
      for (const socket of sockets) socket.destroy();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    };
    const { port } = server.address() as AddressInfo;
    return {
      spec: { protocol: 'echo', address: `127.0.0.1:${port}` },
      stop,
      [Symbol.asyncDispose]: stop,
    };
  },
  connect: async (person, target) =>
    talkInLines(await connectThroughPort(person, 'gatehouse-echo', target)),
};
