/** A place where TLS ends inside the proxy. Its certificate is replaced without a restart. */
import { Server as TlsServer, type TLSSocket } from 'node:tls';

import type { Arrival } from './port.js';

export interface TlsEndpointOptions {
  /** ALPN names offered. */
  readonly protocols: readonly string[];
  readonly askForCertificate: boolean;
  readonly handshakeTimeoutMs: number;
  material(): { readonly key: string; readonly certificate: string; readonly clientCa: string };
  readonly onSecure: (socket: TLSSocket, arrival: Arrival) => void;
}

export interface TlsEndpoint {
  /** @param onSecure in place of the endpoint's own */
  take(arrival: Arrival, onSecure?: TlsEndpointOptions['onSecure']): void;
  /** Uses the present `material()` for new connections. */
  reload(): void;
}

export function createTlsEndpoint(options: TlsEndpointOptions): TlsEndpoint {
  const arrivals = new Map<string, [Arrival, TlsEndpointOptions['onSecure']]>();
  const secure = () => {
    const { key, certificate, clientCa } = options.material();
    return {
      key,
      cert: certificate,
      minVersion: 'TLSv1.2' as const,
      ...(options.askForCertificate ? { ca: clientCa } : {}),
    };
  };
  const server = new TlsServer({
    ...secure(),
    requestCert: options.askForCertificate,
    // The certificate is judged by our own rules, which also name the reason of a refusal.
    rejectUnauthorized: false,
    ALPNProtocols: [...options.protocols],
    handshakeTimeout: options.handshakeTimeoutMs,
    allowHalfOpen: true,
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('secureConnection', (socket) => {
    socket.on('error', () => socket.destroy());
    const [arrival, onSecure] = arrivals.get(peerOf(socket)) ?? [];
    if (arrival === undefined) socket.destroy();
    else onSecure?.(socket, arrival);
  });
  return {
    take(arrival, onSecure = options.onSecure) {
      const peer = peerOf(arrival.socket);
      arrivals.set(peer, [arrival, onSecure]);
      arrival.socket.once('close', () => arrivals.delete(peer));
      server.emit('connection', arrival.socket);
    },
    reload: () => server.setSecureContext(secure()),
  };
}

function peerOf(socket: {
  remoteAddress?: string | undefined;
  remotePort?: number | undefined;
}): string {
  return `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
}
