/** Ports of the node that a person asked to have sent back (RFC 4254 §7.1, §7.2), for the length of the connection. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

import type { Logger } from '@gatehouse/kit/log';

import type { ConnectionEndpoint } from '../connection/endpoint.js';
import { encodeFields } from '../wire/codec.js';
import type { GlobalRequest } from '../wire/connection.js';
import { joinSocket } from './join-socket.js';

/** Ports of one connection. */
const maxPorts = 32;
/** Below it only root may listen. */
const firstOpenPort = 1024;

export interface RemoteForwardsOptions {
  readonly endpoint: () => ConnectionEndpoint | undefined;
  readonly isRoot: boolean;
  readonly logger: Logger;
}

/** The listening ports of one connection. Loopback only, as sshd does by default. */
export class RemoteForwards implements Disposable {
  private readonly servers = new Map<number, Server>();
  private isDisposed = false;

  constructor(private readonly options: RemoteForwardsOptions) {}

  /** Handles `tcpip-forward` and its cancellation; the data of a success, or undefined. */
  async handle(request: GlobalRequest): Promise<Buffer | undefined> {
    const { address } = request;
    if (address === undefined || !('port' in address)) return undefined;
    if (request.name === 'tcpip-forward') return this.listen(address.host, address.port);
    return request.name === 'cancel-tcpip-forward' ? this.cancel(address.port) : undefined;
  }

  [Symbol.dispose](): void {
    this.isDisposed = true;
    for (const server of this.servers.values()) server.close();
    this.servers.clear();
  }

  private async listen(host: string, port: number): Promise<Buffer | undefined> {
    // Requests that waited are still handled when the connection has ended.
    if (this.isDisposed || this.servers.size >= maxPorts) return undefined;
    if (port !== 0 && port < firstOpenPort && !this.options.isRoot) return undefined;
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host === '::1' ? '::1' : '127.0.0.1', resolve);
      });
    } catch (thrown) {
      this.options.logger.debug({ err: thrown }, 'port could not be opened');
      return undefined;
    }
    if (this.isDisposed) {
      server.close();
      return undefined;
    }
    const bound = portOf(server);
    server.on('error', (error) => this.options.logger.debug({ err: error }, 'port failed'));
    server.on('connection', (socket) => this.onConnection(socket, { host, port: bound }));
    this.servers.set(bound, server);
    return port === 0 ? encodeFields(bound) : Buffer.alloc(0);
  }

  private cancel(port: number): Buffer | undefined {
    const server = this.servers.get(port);
    if (server === undefined) return undefined;
    server.close();
    this.servers.delete(port);
    return Buffer.alloc(0);
  }

  private onConnection(socket: Socket, bound: { host: string; port: number }): void {
    socket.on('error', () => undefined);
    const { remoteAddress = '', remotePort = 0 } = socket;
    const fields = encodeFields(bound.host, bound.port, remoteAddress, remotePort);
    this.options
      .endpoint()
      ?.open('forwarded-tcpip', fields)
      .then((stream) => joinSocket(stream, socket))
      .catch(() => socket.destroy());
  }
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
