/**
 * Where agents' connections arrive: TCP → PROXY v2 header → a place in line → TLS 1.3 with a client certificate → an
 * agent of this cluster. Everything else is refused before it costs a tunnel.
 */
import { X509Certificate } from 'node:crypto';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { Server as TlsServer, type TLSSocket } from 'node:tls';

import { sleep } from '@gatehouse/kit/clock';
import { toGatehouseError } from '@gatehouse/kit/errors';
import type { Logger } from '@gatehouse/kit/log';
import { readProxyHeader } from '@gatehouse/kit/net';
import type { TlsMaterial } from '@gatehouse/kit/rpc';
import type { Caller } from '@gatehouse/membership';
import { tunnelAlpn } from '@gatehouse/tunnel';

import type { Refusal } from '../events.js';
import type { Admission } from './admission.js';

/** A connection of an agent whose certificate was checked. */
export interface AgentArrival {
  readonly socket: TLSSocket;
  readonly agentId: string;
  /** SHA-256 of its certificate. */
  readonly fingerprint: Buffer;
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

interface Origin {
  readonly clientAddress: string;
  readonly viaProxy: string;
}

export async function openPublicPort(options: PublicPortOptions): Promise<PublicPort> {
  const origins = new Map<string, Origin>();
  const sockets = new Set<Socket>();
  const tls = createTls(options, origins);
  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    if (sockets.size >= options.maxConnections) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    arrive(socket, options).then(
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
async function arrive(socket: Socket, options: PublicPortOptions): Promise<Origin> {
  let origin: Origin = { clientAddress: peerOf(socket), viaProxy: '' };
  if (options.proxyHeader) {
    const header = await readProxyHeader(socket, { timeoutMs: options.handshakeTimeoutMs });
    const { source, proxyId = '' } = header;
    origin = {
      clientAddress: source ? `${source.address}:${source.port}` : origin.clientAddress,
      viaProxy: proxyId,
    };
  }
  const waitMs = options.admission.admit();
  if (waitMs === undefined) throw new Error('too many agents at once');
  if (waitMs > 0) await sleep(waitMs);
  if (socket.destroyed) throw new Error('it left while it waited');
  return origin;
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
    const origin = origins.get(peerOf(socket)) ?? { clientAddress: '', viaProxy: '' };
    const certificate = socket.getPeerX509Certificate();
    const caller = identify(options, socket, certificate?.raw);
    if ('reason' in caller || certificate === undefined) {
      const refusal =
        'reason' in caller ? caller : { reason: 'certificate', why: 'none was shown' };
      options.onRefused({ ...refusal, address: origin.clientAddress, viaProxy: origin.viaProxy });
      socket.destroy();
      return;
    }
    options.onAgent({ socket, ...caller, ...origin, expiresAtMs: endOf(certificate) });
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
): { agentId: string; fingerprint: Buffer } | { reason: string; why: string; agentId?: string } {
  try {
    if (certificate !== undefined && !socket.authorized)
      return { reason: 'certificate', why: String(socket.authorizationError) };
    if (socket.alpnProtocol !== tunnelAlpn) return { reason: 'wrong_kind', why: 'no tunnel label' };
    const caller = options.identify(certificate);
    if (caller.type !== 'agent') return { reason: 'wrong_kind', why: `${caller.type} is no agent` };
    return { agentId: caller.id, fingerprint: Buffer.from(caller.fingerprint, 'hex') };
  } catch (thrown) {
    const { reason = 'certificate', message } = toGatehouseError(thrown);
    return { reason, why: message };
  }
}
