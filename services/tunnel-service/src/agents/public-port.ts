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

/** Connections that have not yet shown who they are: all together, and of one address (many agents may share one). */
const maxPending = { total: 4_000, perAddress: 1_000 };

/** Counts those connections; a source that keeps them open can't keep agents out. */
class Pending {
  readonly #byAddress = new Map<string, number>();
  #total = 0;

  /** Takes a place for as long as the connection is not proven; undefined: there is none. */
  take(address: string): (() => void) | undefined {
    const count = this.#byAddress.get(address) ?? 0;
    if (this.#total >= maxPending.total || count >= maxPending.perAddress) return undefined;
    this.#total += 1;
    this.#byAddress.set(address, count + 1);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      this.#total -= 1;
      const left = (this.#byAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#byAddress.delete(address);
      else this.#byAddress.set(address, left);
    };
  }
}

interface Origin {
  readonly clientAddress: string;
  readonly viaProxy: string;
  /** Gives the place of an unproven connection back. */
  release(): void;
}

export async function openPublicPort(options: PublicPortOptions): Promise<PublicPort> {
  const origins = new Map<string, Origin>();
  const sockets = new Set<Socket>();
  const pending = new Pending();
  const tls = createTls(options, origins);
  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    if (sockets.size >= options.maxConnections) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    arrive(socket, options, pending).then(
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
  pending: Pending,
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
  const release = pending.take(origin.clientAddress.replace(/:\d+$/, ''));
  if (release === undefined) throw new Error('too many connections that show no certificate');
  socket.once('close', release);
  const waitMs = options.admission.admit();
  if (waitMs === undefined) throw new Error('too many agents at once');
  if (waitMs > 0) await sleep(waitMs);
  if (socket.destroyed) throw new Error('it left while it waited');
  return { ...origin, release };
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
