/**
 * The one TLS port (D5, D18). A connection's way: admit → sniff → route. What is not for the proxy itself (auth, audit,
 * agents' tunnels) is passed on unopened; the rest ends here.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

import type { Logger } from '@gatehouse/kit/log';
import { watchPeer } from '@gatehouse/kit/net';

import type { ClientHello } from './client-hello.js';
import type { ConnectionLimits } from './connection-limits.js';
import { sniff, type Sniffed } from './sniff.js';

/** A connection that was admitted and sniffed. */
export interface Arrival {
  readonly socket: Socket;
  /** `ip:port`. */
  readonly clientAddress: string;
  /** Frees its place among the unauthenticated; call it once who it is has been proven. */
  readonly release: () => void;
  /** An orderly stop does not wait for it: a browser's that is kept alive, what another replica of a service serves as well. */
  readonly disregard: () => void;
}

/** Where a connection may go. */
export interface PortRoutes {
  /** TLS, by server name and ALPN. */
  tls(arrival: Arrival, hello: ClientHello): void;
  /** A protocol that begins in clear. */
  clear(arrival: Arrival, greeting: string): void;
  /** Plain HTTP: sent on to https. */
  http(arrival: Arrival): void;
  /** Refused; `reason` goes into the event. */
  refused(clientAddress: string, reason: string): void;
}

export interface PortOptions {
  readonly host: string;
  readonly port: number;
  readonly limits: ConnectionLimits;
  readonly greetings: readonly string[];
  readonly greetingTimeoutMs: number;
  readonly routes: PortRoutes;
  readonly logger: Logger;
}

export interface Port extends AsyncDisposable {
  readonly address: AddressInfo;
  /** Takes no new connections from now on. */
  stopAccepting(): void;
  readonly connections: number;
  /** Of these, those that an orderly stop waits for: from their first byte, and until their last has gone out. */
  readonly awaited: number;
}

export async function openPort(options: PortOptions): Promise<Port> {
  const sockets = new Set<Socket>();
  const awaited = new Set<Socket>();
  const server = createServer(
    { allowHalfOpen: true, noDelay: true, highWaterMark: 256 * 1024, ...watchPeer },
    (socket) => {
      const disregard = () => void awaited.delete(socket);
      sockets.add(socket);
      awaited.add(socket);
      socket.once('close', () => (disregard(), sockets.delete(socket)));
      socket.on('error', () => socket.destroy());
      welcome(socket, disregard, options);
    },
  );
  await listen(server, options);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP listener');
  return {
    address,
    get connections() {
      return sockets.size;
    },
    get awaited() {
      return awaited.size;
    },
    stopAccepting: () => server.close(),
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function listen(server: Server, options: PortOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: options.port, host: options.host, backlog: 1024 }, () => {
      server.off('error', reject);
      server.on('error', (error) => options.logger.error({ err: error }, 'the port failed'));
      resolve();
    });
  });
}

function welcome(socket: Socket, disregard: () => void, options: PortOptions): void {
  const ip = socket.remoteAddress ?? '';
  const clientAddress = `${ip.includes(':') ? `[${ip}]` : ip}:${socket.remotePort ?? 0}`;
  const release = options.limits.admit(ip);
  if (release === undefined) {
    socket.destroy();
    options.routes.refused(clientAddress, 'rate');
    return;
  }
  socket.once('close', release);
  readGreeting(socket, options, (sniffed) => {
    const arrival: Arrival = { socket, clientAddress, release, disregard };
    if (sniffed.kind === 'tls') options.routes.tls(arrival, sniffed.hello);
    else if (sniffed.kind === 'clear') options.routes.clear(arrival, sniffed.greeting);
    else if (sniffed.kind === 'http') options.routes.http(arrival);
    else {
      socket.destroy();
      if (sniffed.kind === 'proxy_header') options.routes.refused(clientAddress, 'proxy_header');
    }
  });
}

/** Reads until the first bytes say what it is, then puts them back. Silence and noise end with the deadline or the limit. */
function readGreeting(
  socket: Socket,
  options: PortOptions,
  done: (sniffed: Sniffed) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const deadline = setTimeout(() => socket.destroy(), options.greetingTimeoutMs);
  const stop = () => {
    clearTimeout(deadline);
    socket.off('data', onData);
    socket.off('close', stop);
    socket.off('end', onEnd);
  };
  const onEnd = () => {
    stop();
    socket.destroy();
  };
  const onData = (chunk: Buffer) => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const sniffed = sniff(bytes, options.greetings);
    if (sniffed.kind === 'more') return;
    stop();
    socket.pause();
    socket.unshift(bytes);
    done(sniffed);
  };
  socket.on('data', onData);
  socket.once('end', onEnd);
  socket.once('close', stop);
}
