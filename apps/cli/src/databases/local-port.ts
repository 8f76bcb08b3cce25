/** A port of this machine whose connections are carried to a target through the cluster's port. */
import { createServer, type AddressInfo, type Socket } from 'node:net';

import { systemErrorCode } from '@gatehouse/kit/errors';

import { cliError } from '../errors.js';
import { openProxyConnection, type ProxyConnectionOptions } from '../port/proxy-connection.js';

export interface LocalPort extends AsyncDisposable {
  readonly port: number;
}

export interface LocalPortOptions {
  /** 0: any free one. */
  readonly port: number;
  connection(): ProxyConnectionOptions;
  /** Called with the reason where a connection does not come about. */
  onRefused(why: string): void;
}

/** @throws PORT_UNUSABLE */
export async function openLocalPort(options: LocalPortOptions): Promise<LocalPort> {
  const sockets = new Set<Socket>();
  const server = createServer(
    { allowHalfOpen: true, noDelay: true, pauseOnConnect: true },
    (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      carry(socket, options).catch((thrown: unknown) => {
        options.onRefused(thrown instanceof Error ? thrown.message : String(thrown));
        socket.destroy();
      });
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, '127.0.0.1', resolve);
  }).catch((cause: unknown) => {
    const details = { port: String(options.port), why: systemErrorCode(cause) ?? String(cause) };
    throw cliError('PORT_UNUSABLE', { cause, details });
  });
  const address = server.address();
  return {
    port: portOf(address),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function carry(socket: Socket, options: LocalPortOptions): Promise<void> {
  const far = await openProxyConnection(options.connection());
  if (socket.destroyed) {
    far.destroy();
    return;
  }
  far.on('close', () => socket.destroy());
  socket.on('close', () => far.destroy());
  socket.pipe(far);
  far.pipe(socket);
}
