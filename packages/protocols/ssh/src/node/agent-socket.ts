/** The person's ssh-agent at the node: a socket that only the login's user reaches, carried back channel by channel. */
import { chmodSync, lchownSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
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

/**
 * Opens the socket in a folder of its own. Where the node is root the folder stays root's: a user who could change it
 * would choose what the steps below, and the removal, are done to. @throws where that is not possible
 */
export function openAgentSocket(options: AgentSocketOptions): AgentSocket {
  const { user } = options;
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-agent-'));
  const path = join(dir, 'socket');
  const server = createServer({ allowHalfOpen: true }, (socket) => carry(options, socket));
  server.on('error', (error) => options.logger.warn({ err: error }, 'agent socket failed'));
  // Binds at once; only the event comes later.
  server.listen(path);
  if (user.become.length > 0) {
    lchownSync(path, user.uid, user.gid);
    chmodSync(path, 0o600);
    chmodSync(dir, 0o711);
  }
  return {
    path,
    [Symbol.dispose]() {
      server.close();
      try {
        rmSync(path, { force: true });
        rmdirSync(dir);
      } catch (thrown) {
        options.logger.warn({ err: thrown }, 'agent socket was not removed');
      }
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
