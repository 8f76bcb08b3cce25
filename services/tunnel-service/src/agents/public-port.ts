/**
 * Where agents' connections arrive: TCP → PROXY v2 header → a place in line → TLS 1.3 with a client certificate → an
 * agent of this cluster. Everything else is refused before it costs a tunnel.
 */
import { X509Certificate } from 'node:crypto';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { Server as TlsServer, type TLSSocket } from 'node:tls';

import { toGatehouseError } from '@gatehouse/kit/errors';
import type { Logger } from '@gatehouse/kit/log';
import { readProxyHeader } from '@gatehouse/kit/net';
import type { TlsMaterial } from '@gatehouse/kit/rpc';
import type { Caller } from '@gatehouse/membership';
import { tunnelAlpn } from '@gatehouse/tunnel';

import type { Refusal } from '../events.js';
import type { Admission } from './admission.js';
import { AgentPlaces, UnprovenPlaces } from './places.js';

/** A connection of an agent whose certificate was checked. */
export interface AgentArrival {
  readonly socket: TLSSocket;
  readonly agentId: string;
  /** SHA-256 of its certificate, hex. */
  readonly fingerprint: string;
  /** End of its certificate, ms since the epoch. */
  readonly expiresAtMs: number;
  /** `ip:port`. */
  readonly clientAddress: string;
  /** srv_… of the proxy that passed it on, or empty. Says nothing about who the agent is. */
  readonly viaProxy: string;
}

export interface PublicPortOptions {
  readonly host: string;
  readonly port: number;
  readonly proxyHeader: boolean;
  readonly tls: TlsMaterial;
  readonly admission: Admission;
  /** Connections of agents. */
  readonly maxConnections: number;
  readonly handshakeTimeoutMs: number;
  readonly logger: Logger;
  identify(certificate: Buffer | undefined): Caller;
  onAgent(arrival: AgentArrival): void;
  onRefused(refusal: Refusal): void;
}

export interface PublicPort extends AsyncDisposable {
  readonly address: AddressInfo;
  replaceTls(tls: TlsMaterial): void;
  /** No new connections; those that are there go on. */
  stopListening(): void;
}

/** All connections that are not yet, or will never be, an agent's. */
const maxOthers = 8_000;

/** What comes before a turn: a ClientHello is much smaller. */
const maxEarlyBytes = 16 * 1024;

interface Origin {
  readonly clientAddress: string;
  readonly viaProxy: string;
  /** Its handshake is over: gives the place of an unproven connection and its turn back. */
  release(): void;
}

export async function openPublicPort(options: PublicPortOptions): Promise<PublicPort> {
  const origins = new Map<string, Origin>();
  const sockets = new Set<Socket>();
  const unproven = new UnprovenPlaces();
  const tls = createTls(options, origins);
  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    if (sockets.size >= options.maxConnections + maxOthers) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    arrive(socket, options, unproven).then(
      (origin) => {
        const peer = peerOf(socket);
        origins.set(peer, origin);
        socket.once('close', () => origins.delete(peer));
        tls.emit('connection', socket);
      },
      (thrown: unknown) => {
        options.logger.debug({ err: thrown }, 'connection given up');
        socket.destroy();
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(options.port, options.host, resolve);
  });
  listener.on('error', (error) => {
    options.logger.error({ err: error }, 'listener failed');
  });
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP listener');
  return {
    address,
    replaceTls(material) {
      tls.setSecureContext(secureOptions(material));
    },
    stopListening() {
      if (listener.listening) listener.close();
    },
    async [Symbol.asyncDispose]() {
      if (listener.listening) listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
}

/** Reads who it is from and waits for its turn. */
async function arrive(
  socket: Socket,
  options: PublicPortOptions,
  unproven: UnprovenPlaces,
): Promise<Origin> {
  let origin = { clientAddress: peerOf(socket), viaProxy: '' };
  if (options.proxyHeader) {
    const header = await readProxyHeader(socket, { timeoutMs: options.handshakeTimeoutMs });
    const { source, proxyId = '' } = header;
    origin = {
      clientAddress: source ? `${source.address}:${source.port}` : origin.clientAddress,
      viaProxy: proxyId,
    };
  }
  const address = origin.clientAddress.replace(/:\d+$/, '');
  const release = unproven.take(address, socket);
  if (release === undefined) throw new Error('too many connections that show no certificate');
  const endTurn = await waitInLine(socket, async (signal) =>
    options.admission.enter(address, signal),
  );
  socket.once('close', endTurn);
  if (socket.destroyed) endTurn();
  return {
    ...origin,
    release() {
      release();
      endTurn();
    },
  };
}

/** Reads while it waits, else nobody hears that the other side has left; what came is put back. */
async function waitInLine(
  socket: Socket,
  enter: (signal: AbortSignal) => Promise<() => void>,
): Promise<() => void> {
  const left = new AbortController();
  let early: Buffer = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    early = Buffer.concat([early, chunk]);
    if (early.length > maxEarlyBytes) left.abort();
  };
  const onLeave = () => left.abort();
  socket.on('data', onData).once('end', onLeave).once('close', onLeave);
  try {
    if (socket.destroyed) left.abort();
    return await enter(left.signal);
  } finally {
    socket.off('data', onData).off('end', onLeave).off('close', onLeave).pause();
    if (early.length > 0 && !socket.destroyed) socket.unshift(early);
  }
}

function secureOptions(material: TlsMaterial) {
  return {
    key: material.key,
    cert: material.certificate,
    ca: material.clientCa,
    minVersion: 'TLSv1.3' as const,
  };
}

function createTls(options: PublicPortOptions, origins: Map<string, Origin>): TlsServer {
  const places = new AgentPlaces(options.maxConnections);
  const tls = new TlsServer({
    ...secureOptions(options.tls),
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: [tunnelAlpn],
    handshakeTimeout: options.handshakeTimeoutMs,
    sessionTimeout: 1,
    allowHalfOpen: true,
  });
  tls.on('tlsClientError', (_error, socket) => socket.destroy());
  tls.on('secureConnection', (socket) => {
    socket.on('error', () => socket.destroy());
    const origin = origins.get(peerOf(socket));
    if (origin === undefined) {
      socket.destroy();
      return;
    }
    origin.release();
    const { clientAddress, viaProxy } = origin;
    const certificate = socket.getPeerX509Certificate();
    const caller = identify(options, socket, certificate?.raw);
    if ('reason' in caller || certificate === undefined) {
      const refusal =
        'reason' in caller ? caller : { reason: 'certificate', why: 'none was shown' };
      options.onRefused({ ...refusal, address: clientAddress, viaProxy });
      socket.destroy();
      return;
    }
    if (!places.take(caller.agentId, socket)) {
      options.logger.warn({ agentId: caller.agentId }, 'no place for another tunnel');
      socket.destroy();
      return;
    }
    const expiresAtMs = endOf(certificate);
    options.onAgent({ socket, ...caller, clientAddress, viaProxy, expiresAtMs });
  });
  return tls;
}

function endOf(certificate: X509Certificate): number {
  return certificate.validToDate.getTime();
}

function identify(
  options: PublicPortOptions,
  socket: TLSSocket,
  certificate: Buffer | undefined,
): { agentId: string; fingerprint: string } | { reason: string; why: string; agentId?: string } {
  try {
    if (certificate !== undefined && !socket.authorized)
      return { reason: 'certificate', why: String(socket.authorizationError) };
    if (socket.alpnProtocol !== tunnelAlpn) return { reason: 'wrong_kind', why: 'no tunnel label' };
    const caller = options.identify(certificate);
    if (caller.type !== 'agent') return { reason: 'wrong_kind', why: `${caller.type} is no agent` };
    return { agentId: caller.id, fingerprint: caller.fingerprint };
  } catch (thrown) {
    const { reason = 'certificate', message } = toGatehouseError(thrown);
    return { reason, why: message };
  }
}
