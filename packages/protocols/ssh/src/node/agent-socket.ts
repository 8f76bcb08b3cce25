/** The person's ssh-agent at the node: a socket that only the login's user reaches, carried back channel by channel. */
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Logger } from '@gatehouse/kit/log';

import type { ConnectionEndpoint } from '../connection/endpoint.js';
import { joinSocket } from './join-socket.js';
import type { OsUser } from './os-user.js';

export interface AgentSocketOptions {
  readonly endpoint: () => ConnectionEndpoint | undefined;
  readonly user: OsUser;
  readonly logger: Logger;
}

export interface AgentSocket extends Disposable {
  /** For SSH_AUTH_SOCK. */
  readonly path: string;
}

/** Opens the socket in a folder of its own (0700), which goes with it. @throws where that is not possible */
export function openAgentSocket(options: AgentSocketOptions): AgentSocket {
  const { user } = options;
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-agent-'));
  const path = join(dir, 'socket');
  const server = createServer({ allowHalfOpen: true }, (socket) => carry(options, socket));
  server.on('error', (error) => options.logger.warn({ err: error }, 'agent socket failed'));
  server.listen(path, () => {
    if (user.become.length > 0) chownSync(path, user.uid, user.gid);
  });
  if (user.become.length > 0) chownSync(dir, user.uid, user.gid);
  return {
    path,
    [Symbol.dispose]() {
      server.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function carry(options: AgentSocketOptions, socket: Socket): void {
  socket.on('error', () => undefined);
  options
    .endpoint()
    ?.open('auth-agent@openssh.com', Buffer.alloc(0))
    .then((stream) => joinSocket(stream, socket))
    .catch(() => socket.destroy());
}
