/** For the matrix: a TCP server on loopback that echoes. */
import { createServer, type AddressInfo, type Socket } from 'node:net';

import {
  connectThroughPort,
  talkInLines,
  type MatrixTarget,
  type ProtocolFixture,
} from '@gatehouse/protocol-api/testing';

/** An echo server; `protocol` goes into its spec. */
export async function startEchoTarget(protocol: string): Promise<MatrixTarget> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const stop = async () => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  return { spec: { protocol, address: `127.0.0.1:${port}` }, stop, [Symbol.asyncDispose]: stop };
}

export const fixture: ProtocolFixture = {
  kind: 'app',
  labelsField: 'app_labels',
  allow: {},
  isRecorded: false,
  hasWords: false,
  startTarget: async () => startEchoTarget('tcp'),
  connect: async (person, target) =>
    talkInLines(await connectThroughPort(person, 'gatehouse-tcp', target)),
};
