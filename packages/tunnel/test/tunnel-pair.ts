/** A real tunnel over TLS 1.3 on loopback, through a relay that can be frozen or cut. */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';

import {
  createSigner,
  createTlsAuthority,
  derToPem,
  generateKeyPair,
  issueTlsCertificate,
} from '@gatehouse/identity';
import {
  acceptTunnel,
  serveTunnel,
  tunnelAlpn,
  type AcceptedTunnel,
  type IncomingDial,
  type ServedTunnel,
  type TunnelLimits,
} from '@gatehouse/tunnel';
import { onTestFinished } from 'vitest';

export interface TestTls {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
}

export async function createTestTls(): Promise<TestTls> {
  const nowMs = Date.now();
  const authorityKey = generateKeyPair('p256');
  const certificate = await createTlsAuthority({
    commonName: 'test',
    privateKeyPem: authorityKey.privateKeyPem,
    nowMs,
    days: 1,
  });
  const leafKey = generateKeyPair('p256');
  const leaf = await issueTlsCertificate({
    authority: { certificate, signer: createSigner(authorityKey.privateKeyPem) },
    publicKeySpki: leafKey.spki,
    dnsNames: ['localhost'],
    notBeforeMs: nowMs - 60_000,
    notAfterMs: nowMs + 3_600_000,
    usage: 'both',
  });
  return {
    key: leafKey.privateKeyPem,
    cert: derToPem(leaf, 'CERTIFICATE'),
    ca: derToPem(certificate, 'CERTIFICATE'),
  };
}

export interface TunnelPair {
  readonly service: AcceptedTunnel;
  readonly agent: ServedTunnel;
  /** Bytes vanish both ways from now on, without a reset. */
  freeze(): void;
  /** Both TCP connections of the relay are reset. */
  cut(): void;
  /** Both ends hear FIN and nothing else, as from a process that was killed. */
  finish(): void;
}

export async function createTunnelPair(
  onDial: (dial: IncomingDial) => void,
  limits: Partial<TunnelLimits> = {},
): Promise<TunnelPair> {
  const material = await createTestTls();
  const server = tls.createServer({
    ...material,
    minVersion: 'TLSv1.3',
    requestCert: true,
    ALPNProtocols: [tunnelAlpn],
    allowHalfOpen: true,
  });
  await listen(server);
  const accepted = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>;
  const relay = await createRelay((server.address() as net.AddressInfo).port);
  const options: tls.ConnectionOptions & { allowHalfOpen: boolean } = {
    ...material,
    port: relay.port,
    host: '127.0.0.1',
    servername: 'localhost',
    minVersion: 'TLSv1.3',
    ALPNProtocols: [tunnelAlpn],
    // Missing in the types of tls.connect, which hands all options on to net.connect.
    allowHalfOpen: true,
  };
  const client = tls.connect(options);
  await once(client, 'secureConnect');
  const agent = serveTunnel(client, onDial, limits);
  const [socket] = await accepted;
  const service = await acceptTunnel(socket, limits);
  onTestFinished(async () => {
    service.close();
    agent.close();
    server.close();
    relay.close();
    await Promise.all([service.closed, agent.closed]);
  });
  return { service, agent, freeze: relay.freeze, cut: relay.cut, finish: relay.finish };
}

async function listen(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as net.AddressInfo).port;
}

async function createRelay(targetPort: number) {
  const sockets: net.Socket[] = [];
  let isFrozen = false;
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (front) => {
    const back = net.connect({
      port: targetPort,
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
    });
    for (const [from, to] of [
      [front, back],
      [back, front],
    ] as const) {
      sockets.push(from);
      from.on('error', () => to.destroy());
      from.on('close', () => !isFrozen && to.destroy());
      from.on('data', (chunk: Buffer) => {
        if (isFrozen) return;
        if (!to.write(chunk)) {
          from.pause();
          to.once('drain', () => from.resume());
        }
      });
      from.on('end', () => !isFrozen && to.end());
    }
  });
  const port = await listen(server);
  return {
    port,
    freeze: () => {
      isFrozen = true;
    },
    finish: () => {
      for (const socket of sockets) socket.end();
    },
    cut: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** A TCP server for targets; collects its connections. */
export async function createTarget(onConnection: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  const port = await listen(server);
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return port;
}
