/**
 * The agent's own SSH node (D32): an SSH server on an in-process stream that lets in certificates of `target_ssh` for
 * the login of the grant, and runs shells, commands and SFTP as that user. What is forbidden was refused by the proxy;
 * the node knows one thing of its own: the user.
 */
import { access } from 'node:fs/promises';
import { duplexPair, type Duplex } from 'node:stream';

import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { AgentDial, AgentServices } from '@gatehouse/protocol-api';

import type { ChannelStream } from '../connection/channel-stream.js';
import {
  ConnectionEndpoint,
  type EndpointHandlers,
  type OpenRefusal,
} from '../connection/endpoint.js';
import { openFailure } from '../errors.js';
import type { SshSpec } from '../target.js';
import { targetFacing } from '../transport/algorithms.js';
import { createHostKeys } from '../transport/host-keys.js';
import { authenticateUser } from '../transport/server-login.js';
import { SshTransport } from '../transport/transport.js';
import { encodeMessage } from '../wire/codec.js';
import {
  startsProgram,
  type ChannelOpen,
  type ChannelRequest,
  type GlobalRequest,
} from '../wire/connection.js';
import { messageType } from '../wire/message-types.js';
import { openAgentSocket, type AgentSocket } from './agent-socket.js';
import { connectTcp } from './connect-tcp.js';
import { joinSocket } from './join-socket.js';
import { commandWords, findOsUser, loginShellWords, type OsUser } from './os-user.js';
import { runProgram, type ProgramStart, type RunningProgram, type Terminal } from './process.js';
import { RemoteForwards } from './remote-forwards.js';
import { verifyTargetCertificate } from './target-certificate.js';

/** How long the proxy may take to log in, ms. */
const loginTimeoutMs = 20_000;

/** Where distributions put the SFTP server. */
const sftpServers = [
  '/usr/lib/openssh/sftp-server',
  '/usr/libexec/openssh/sftp-server',
  '/usr/lib/ssh/sftp-server',
  '/usr/libexec/sftp-server',
];

/** Variables that a client may set. */
const acceptedVariables = /^(LANG|LC_[A-Z]+|COLORTERM|NO_COLOR|TZ)$/;
const maxVariables = 64;
/** Session channels in which nothing runs yet: what is sent to them waits in memory. */
const maxIdleSessions = 10;

/**
 * Starts a node for one dial. The stream that comes back speaks SSH to it.
 * @throws SSH_NODE_REFUSED when the login has no user here
 */
export async function connectBuiltinNode(
  services: AgentServices,
  dial: AgentDial<SshSpec>,
): Promise<Duplex> {
  const user = await findOsUser(dial.principal, services.builtin);
  const hostKeys = createHostKeys(await services.hostCertificate(dial.target));
  const sftpServer = await findSftpServer();
  const [proxySide, nodeSide] = duplexPair({ highWaterMark: 256 * 1024 });
  const transport = new SshTransport({ socket: nodeSide, offer: targetFacing, hostKeys });
  const node = new BuiltinNode({ services, dial, user, sftpServer, transport });
  runInBackground(() => node.run(), services.logger, 'built-in node failed');
  return proxySide;
}

async function findSftpServer(): Promise<string | undefined> {
  for (const path of sftpServers) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

interface NodeOptions {
  readonly services: AgentServices;
  readonly dial: AgentDial<SshSpec>;
  readonly user: OsUser;
  readonly sftpServer: string | undefined;
  readonly transport: SshTransport;
}

interface SessionChannel {
  readonly env: Map<string, string>;
  terminal: Terminal | undefined;
  program: RunningProgram | undefined;
}

class BuiltinNode implements EndpointHandlers {
  private readonly sessions = new WeakMap<ChannelStream, SessionChannel>();

  private readonly idleSessions = new Set<ChannelStream>();
  private readonly forwards: RemoteForwards;
  private endpoint: ConnectionEndpoint | undefined;
  private agent: AgentSocket | undefined;

  constructor(private readonly options: NodeOptions) {
    this.forwards = new RemoteForwards({
      endpoint: () => this.endpoint,
      isRoot: options.user.uid === 0,
      logger: options.services.logger,
    });
  }

  async run(): Promise<void> {
    const { services, dial, transport } = this.options;
    const login = await authenticateUser({
      transport,
      signal: AbortSignal.any([dial.signal, AbortSignal.timeout(loginTimeoutMs)]),
      verifyCertificate: (blob, userName) => Promise.resolve(this.verify(blob, userName)),
    });
    if (login === undefined) return;
    transport.send(encodeMessage(messageType.userauthSuccess));
    transport.setAuthenticated();
    services.logger.debug(
      { target: dial.target, login: dial.principal },
      'built-in node serves a session',
    );
    this.endpoint = new ConnectionEndpoint(transport, this);
    try {
      await this.endpoint.run();
    } finally {
      this.forwards[Symbol.dispose]();
      this.agent?.[Symbol.dispose]();
    }
  }

  onOpen(open: ChannelOpen): Promise<((stream: ChannelStream) => void) | OpenRefusal> {
    if (open.type === 'session') return Promise.resolve(this.openSession());
    if (open.type === 'direct-tcpip' && open.address !== undefined && 'host' in open.address) {
      return this.openTcp(open.address.host, open.address.port);
    }
    return Promise.resolve({
      code: openFailure.unknownChannelType,
      text: 'not supported by this node',
    });
  }

  private openSession(): ((stream: ChannelStream) => void) | OpenRefusal {
    if (this.idleSessions.size >= maxIdleSessions)
      return { code: openFailure.resourceShortage, text: 'too many sessions that run nothing' };
    return (stream) => {
      this.sessions.set(stream, { env: new Map(), terminal: undefined, program: undefined });
      this.idleSessions.add(stream);
      stream.once('close', () => this.idleSessions.delete(stream));
    };
  }

  onGlobal(request: GlobalRequest): Promise<Buffer | undefined> {
    return this.forwards.handle(request);
  }

  onRequest(
    stream: ChannelStream,
    request: ChannelRequest,
    reply: (isGranted: boolean) => void,
  ): void {
    const session = this.sessions.get(stream);
    if (session === undefined) reply(false);
    else if (startsProgram(request.detail)) this.startProgram(stream, session, { request, reply });
    else if (request.detail.kind === 'agent') reply(this.openAgent());
    else reply(applyRequest(session, request));
  }

  private openAgent(): boolean {
    const { user, services } = this.options;
    const endpoint = () => this.endpoint;
    try {
      this.agent ??= openAgentSocket({ endpoint, user, logger: services.logger });
      return true;
    } catch (thrown) {
      services.logger.warn({ err: thrown }, 'agent socket could not be opened');
      return false;
    }
  }

  private startProgram(
    stream: ChannelStream,
    session: SessionChannel,
    asked: { readonly request: ChannelRequest; readonly reply: (isGranted: boolean) => void },
  ): void {
    const words = this.wordsOf(asked.request);
    if (words === undefined || session.program !== undefined) return asked.reply(false);
    this.idleSessions.delete(stream);
    asked.reply(true);
    const { user, services } = this.options;
    const start: ProgramStart = {
      words,
      user,
      env: this.environment(session),
      stream,
      logger: services.logger,
    };
    session.program = runProgram(start, session.terminal);
    return undefined;
  }

  private wordsOf(request: ChannelRequest): string[] | undefined {
    const { user, sftpServer } = this.options;
    const { detail } = request;
    if (detail.kind === 'shell') return loginShellWords(user);
    if (detail.kind === 'exec') return commandWords(user, detail.command);
    if (detail.kind !== 'subsystem' || detail.subsystem !== 'sftp' || sftpServer === undefined)
      return undefined;
    // By the shell, as sshd does: who may not have one gets no files either.
    return commandWords(user, Buffer.from(sftpServer));
  }

  private environment(session: SessionChannel): Record<string, string> {
    const { user, dial } = this.options;
    return {
      ...Object.fromEntries(session.env),
      HOME: user.home,
      USER: user.name,
      LOGNAME: user.name,
      SHELL: user.shell,
      PATH:
        user.uid === 0
          ? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
          : '/usr/local/bin:/usr/bin:/bin',
      ...(this.agent && { SSH_AUTH_SOCK: this.agent.path }),
      GATEHOUSE_USER: dial.user,
      GATEHOUSE_SESSION: dial.sessionId,
    };
  }

  private verify(blob: Buffer, userName: string): true {
    const { services, dial } = this.options;
    const login = userName === dial.principal ? userName : '';
    const authorities = services.targetAuthorities();
    verifyTargetCertificate(blob, { authorities, nowMs: services.clock.now(), login });
    return true;
  }

  /** The node is the target, so a forward through it is a connection from here. */
  private async openTcp(
    host: string,
    port: number,
  ): Promise<((stream: ChannelStream) => void) | OpenRefusal> {
    try {
      const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
      const { target, signal } = this.options.dial;
      const socket = await connectTcp({ target, address, signal, isHalfOpen: true });
      return (stream) => joinSocket(stream, socket);
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : 'failed';
      return { code: openFailure.connectFailed, text: why.replace(/^.*: /, '') };
    }
  }
}

/** Requests that start nothing. True where the node does as asked. */
function applyRequest(session: SessionChannel, request: ChannelRequest): boolean {
  const { detail } = request;
  if (detail.kind === 'env') return acceptVariable(session.env, detail.variable, detail.value);
  if (detail.kind === 'pty') {
    session.terminal = { ...detail, term: detail.term || 'dumb' };
    return true;
  }
  if (detail.kind === 'window') session.program?.resize(detail.columns, detail.rows);
  if (detail.kind === 'signal') session.program?.signal(detail.signal);
  return detail.kind === 'window' || detail.kind === 'signal';
}

function acceptVariable(env: Map<string, string>, name: string, value: Buffer): boolean {
  if (!acceptedVariables.test(name) || env.size >= maxVariables || value.length > 4096)
    return false;
  if (value.includes(0)) return false;
  env.set(name, value.toString('utf8'));
  return true;
}
