/** Helpers for tests of the command line: a world of its own, and a fake port with real TLS. */
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { createServer, type TLSSocket } from 'node:tls';

import { caPin, derToPem } from '@gatehouse/identity';
import { issueTestService, type TestAuthorities } from '@gatehouse/identity/testing';

import type { Environment } from './environment.js';
import { parseProxyAddress, type ProxyAddress } from './profile/address.js';

/** An environment that keeps what was written. */
export interface TestEnvironment extends Environment {
  readonly out: () => string;
  readonly err: () => string;
}

/** No terminal, nothing on stdin, output kept; with `typed`, a terminal on which that is typed. */
export function createTestEnvironment(options: {
  readonly home: string;
  readonly variables?: Readonly<Record<string, string>>;
  readonly nowMs?: number;
  readonly typed?: string;
}): TestEnvironment {
  const out: string[] = [];
  const err: string[] = [];
  const collect = (into: string[]) => ({
    write(text: string, done?: () => void) {
      into.push(text);
      done?.();
      return true;
    },
  });
  return {
    variables: { GATE_HOME: options.home, ...options.variables },
    stdout: collect(out),
    stderr: collect(err),
    stdin: Object.assign(Readable.from([options.typed ?? '']), {
      isTTY: options.typed !== undefined,
    }) as unknown as NodeJS.ReadStream,
    clock: { now: () => options.nowMs ?? Date.now(), monotonic: () => performance.now() },
    programPath: '/opt/gate house/bin/gate',
    version: '0.0.0',
    out: () => out.join(''),
    err: () => err.join(''),
  };
}

/** A folder of its own that is removed with it. */
export function createTestFolder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'gate-test-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A fake port; `pin` is that of its CA. */
export interface TestPort extends AsyncDisposable {
  readonly address: ProxyAddress;
  readonly pin: string;
}

/** A TLS port with a host_tls certificate of a proxy. `gatehouse-ssh` goes to `onSsh`, everything else to `onHttp`. */
export async function startTestPort(
  authorities: TestAuthorities,
  handlers: {
    readonly kind?: 'proxy' | 'auth';
    /** May go on by itself; a failure ends the connection. */
    onSsh?(socket: TLSSocket): void | Promise<void>;
    onHttp?(request: IncomingMessage, response: ServerResponse): void;
  },
): Promise<TestPort> {
  const part = await issueTestService(authorities, handlers.kind ?? 'proxy');
  const ca = derToPem(authorities.hostTls.certificate, 'CERTIFICATE');
  const web = createHttpServer((request, response) => handlers.onHttp?.(request, response));
  const sockets = new Set<Socket>();
  const server = createServer(
    {
      key: part.privateKeyPem,
      cert: derToPem(part.certificate, 'CERTIFICATE') + ca,
      ca: derToPem(authorities.userTls.certificate, 'CERTIFICATE'),
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ['gatehouse-ssh', 'http/1.1'],
      allowHalfOpen: true,
    },
    (socket) => {
      socket.on('error', () => socket.destroy());
      if (socket.alpnProtocol === 'gatehouse-ssh') {
        Promise.try(() => handlers.onSsh?.(socket)).catch(() => socket.destroy());
      } else web.emit('connection', socket);
    },
  );
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: parseProxyAddress(`127.0.0.1:${port}`),
    pin: caPin(authorities.hostTls.certificate),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
