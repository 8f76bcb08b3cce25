/** HTTP/2 receive windows of a gRPC server (RFC 9113 section 5.2): how much a caller may have under way. */
import type { Http2Server } from 'node:http2';

import type { Server } from '@grpc/grpc-js';

/** For connections that carry sessions, on both ends: HTTP/2's own 64 KiB cost half as much processor time again. */
export const bulkWindowBytes: number = 1 << 20;

/** grpc-js has an option for what a client receives, none for what a server does; its servers are reached through a private field. */
interface ServerInternals {
  readonly http2Servers: ReadonlyMap<Http2Server, unknown>;
}

/** Per call and per connection, for connections from now on. Call it after the server's injector was made. */
export function widenReceiveWindow(server: Server, bytes: number): void {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a private field, pinned with the library's version
  const { http2Servers } = server as unknown as ServerInternals;
  for (const http2Server of http2Servers.keys()) {
    http2Server.on('session', (session) => {
      session.settings({ initialWindowSize: bytes });
      session.setLocalWindowSize(bytes);
    });
  }
}
