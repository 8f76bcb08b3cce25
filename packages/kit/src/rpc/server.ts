/**
 * gRPC servers with mutual TLS. A connection's way: TCP → (PROXY v2 header, on listeners behind the proxies) → TLS → HTTP/2.
 * Each call's way: caller from the client certificate → the method's `callers` → decode → handler → encode.
 * TLS is our own, so that certificates are replaced without a restart (`replaceTls`).
 */
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server as TcpServer,
  type Socket,
} from 'node:net';
import { Server as TlsServer, type TLSSocket } from 'node:tls';

import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';

import type { Logger } from '../log/log.js';
import { readProxyHeader } from '../net/net.js';
import { addService } from './calls.js';
import type { AnyCaller, BoundService, RpcRefusal } from './handlers.js';
import { widenReceiveWindow } from './receive-window.js';
import { createUnprovenGate } from './unproven.js';

/** Key and certificates of a listener, PEM. */
export interface TlsMaterial {
  readonly key: string;
  readonly certificate: string;
  /** CA certificates that clients' certificates are verified with. */
  readonly clientCa: string;
}

export interface RpcServerOptions<Caller extends AnyCaller> {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tls: TlsMaterial;
  /** Each connection starts with a PROXY v2 header (the listeners behind the one port). */
  readonly proxyHeader?: boolean;
  readonly services: readonly BoundService<Caller>[];
  /** The caller of a verified certificate (DER), or of none. Throws to refuse it. Called for every rpc; cache inside. */
  identify(certificate: Buffer | undefined): Caller;
  readonly logger: Logger;
  /**
   * Connections with a certificate that is not accepted stay open, and every call on them is refused in words (expired,
   * unknown CA, …). Default: they are closed at once. Not with `rawServices`, whose calls are not checked here.
   */
  readonly answerStrangers?: boolean;
  /** Told of every call that was refused before its handler: who, from where, why. Must not throw. */
  readonly onRefused?: ((refusal: RpcRefusal<Caller>) => void) | undefined;
  /** Bytes that a caller may have under way, per call and per connection. Default: 64 KiB, enough for messages. */
  readonly receiveWindowBytes?: number;
  /** A raw service for hot paths with codecs of their own. */
  readonly rawServices?: readonly {
    readonly definition: Parameters<Server['addService']>[0];
    readonly implementation: UntypedServiceImplementation;
  }[];
}

export interface RpcServer<Caller extends AnyCaller = AnyCaller> extends AsyncDisposable {
  readonly address: AddressInfo;
  /** Takes no new connections; callers on the open ones are asked to go elsewhere (GOAWAY) and have `ms` to end their calls. */
  drain(ms: number): void;
  /** Connections that are open. */
  connections(): number;
  replaceTls(tls: TlsMaterial): void;
  /** Closes connections of such callers, with all calls on them: what a lock does. Not with `answerStrangers`. */
  closeConnections(isRefused: (caller: Caller) => boolean): void;
  /** Client address of a raw call's peer (`call.getPeer()`). */
  clientAddressOf(peer: string): string;
}

const maxMessageBytes = 4 << 20;
const handshakeTimeoutMs = 10_000;
/** For what is still being answered when the caller has said that it will ask nothing more. */
const halfClosedMs = 1_000;

/** Starts listening. @throws when the address is taken, or a method has no handler */
export async function createRpcServer<Caller extends AnyCaller>(
  options: RpcServerOptions<Caller>,
): Promise<RpcServer<Caller>> {
  const connections = new Map<string, string>();
  const server = createServer(options);
  const addressOf = (peer: string) => connections.get(peer) ?? peer;
  const strangers = new Map<string, Buffer>();
  const strangerAt = (peer: string) => strangers.get(peer);
  for (const service of options.services)
    addService(server, service, { ...options, addressOf, strangerAt });
  for (const raw of options.rawServices ?? [])
    server.addService(raw.definition, raw.implementation);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  if (options.receiveWindowBytes !== undefined)
    widenReceiveWindow(server, options.receiveWindowBytes);
  const unproven = options.proxyHeader === true ? createUnprovenGate() : undefined;
  const callers = new Map<TLSSocket, Caller>();
  const tls = createTls(options, (socket, caller) => {
    if (caller !== undefined) callers.set(socket, caller);
    socket.once('close', () => callers.delete(socket));
    const address = addressOf(peerOf(socket)).replace(/:\d+$/, '');
    if (!socket.authorized && unproven?.admit(socket, address) === false) {
      socket.destroy();
      return;
    }
    const certificate = socket.authorized ? undefined : socket.getPeerX509Certificate()?.raw;
    if (certificate !== undefined) {
      const peer = peerOf(socket);
      strangers.set(peer, certificate);
      socket.once('close', () => strangers.delete(peer));
    }
    injector.injectConnection(socket);
  });
  const sockets = new Set<Socket>();
  const listener = createTcpServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    acceptConnection(socket, tls, { ...options, connections });
  });
  return {
    address: await listen(listener, options),
    replaceTls: (material) => tls.setSecureContext(secureOptions(material)),
    closeConnections(isRefused) {
      for (const [socket, caller] of callers) if (isRefused(caller)) socket.destroy();
    },
    clientAddressOf: addressOf,
    connections: () => sockets.size,
    drain(ms) {
      listener.close();
      injector.drain(ms);
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      injector.drain(1_000);
      server.forceShutdown();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function createServer({ proxyHeader }: { proxyHeader?: boolean }): Server {
  return new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_concurrent_streams': proxyHeader === true ? 100 : 10_000,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
  });
}

async function listen(
  listener: TcpServer,
  options: { host: string; port: number; logger: Logger },
): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(options.port, options.host, () => {
      listener.off('error', reject);
      // A connection that could not be accepted (no file descriptors left) is no reason to take no more.
      listener.on('error', (error) => options.logger.error({ err: error }, 'listener failed'));
      resolve();
    });
  });
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP listener');
  return address;
}

function secureOptions(material: TlsMaterial) {
  return {
    key: material.key,
    cert: material.certificate,
    ca: material.clientCa,
    minVersion: 'TLSv1.3' as const,
  };
}

function createTls<Caller extends AnyCaller>(
  options: RpcServerOptions<Caller>,
  onConnection: (socket: TLSSocket, caller: Caller | undefined) => void,
): TlsServer {
  const tls = new TlsServer({
    ...secureOptions(options.tls),
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    handshakeTimeout: handshakeTimeoutMs,
    sessionTimeout: 1,
  });
  tls.on('tlsClientError', (_error, socket) => socket.destroy());
  tls.on('secureConnection', (socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('end', () => setTimeout(() => socket.destroy(), halfClosedMs).unref());
    if (options.answerStrangers === true) {
      onConnection(socket, undefined);
      return;
    }
    const certificate = socket.getPeerX509Certificate()?.raw;
    let caller: Caller;
    try {
      if (certificate !== undefined && !socket.authorized)
        throw new Error(String(socket.authorizationError));
      caller = options.identify(certificate);
    } catch (thrown) {
      options.logger.warn({ err: thrown, address: socket.remoteAddress }, 'connection refused');
      socket.destroy();
      return;
    }
    onConnection(socket, caller);
  });
  return tls;
}

function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
}

function acceptConnection(
  socket: Socket,
  tls: TlsServer,
  options: { proxyHeader?: boolean; logger: Logger; connections: Map<string, string> },
): void {
  if (options.proxyHeader !== true) {
    tls.emit('connection', socket);
    return;
  }
  readProxyHeader(socket, { timeoutMs: handshakeTimeoutMs }).then(
    (header) => {
      const peer = peerOf(socket);
      if (header.source)
        options.connections.set(peer, `${header.source.address}:${header.source.port}`);
      socket.once('close', () => options.connections.delete(peer));
      tls.emit('connection', socket);
    },
    (thrown: unknown) => {
      options.logger.warn({ err: thrown }, 'no PROXY header');
      socket.destroy();
    },
  );
}
