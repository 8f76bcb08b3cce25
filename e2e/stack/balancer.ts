/** A small TCP balancer: each connection goes to the next backend that is ready, or else to one that takes it. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

import { joinStreams, splitAddress } from '@gatehouse/kit/net';

export interface Balancer extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly address: string;
}

const connectTimeoutMs = 2_000;
/** Much less than a backend's `shutdown_delay`. */
const lookEveryMs = 200;

/** @param isReady asked of each backend several times a second; by default all are */
export async function startBalancer(
  port: number,
  backends: readonly string[],
  isReady?: (backend: string) => Promise<boolean>,
): Promise<Balancer> {
  const unready = new Set<string>();
  const look = async (backend: string) => {
    const answer = await isReady?.(backend).catch(() => false);
    if (answer === false) unready.add(backend);
    else unready.delete(backend);
  };
  const looking = setInterval(() => void Promise.all(backends.map(look)), lookEveryMs);
  const sockets = new Set<Socket>();
  let turn = 0;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    turn += 1;
    passOn(socket, [
      ...rotate(backends, turn).filter((one) => !unready.has(one)),
      ...unready,
    ]).catch(() => socket.destroy());
  });
  await once(server.listen(port, '127.0.0.1'), 'listening');
  server.on('error', () => undefined);
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      clearInterval(looking);
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function rotate(backends: readonly string[], by: number): string[] {
  const start = by % Math.max(backends.length, 1);
  return [...backends.slice(start), ...backends.slice(0, start)];
}

async function passOn(socket: Socket, backends: readonly string[]): Promise<void> {
  for (const backend of backends) {
    const other = connect({ ...splitAddress(backend), allowHalfOpen: true, noDelay: true });
    other.on('error', () => other.destroy());
    try {
      await once(other, 'connect', { signal: AbortSignal.timeout(connectTimeoutMs) });
    } catch {
      other.destroy();
      continue;
    }
    await joinStreams(socket, other);
    return;
  }
  socket.destroy();
}
