import { parseChannelRequest, startsProgram, type ChannelRequest } from '../wire/connection.js';
/** Channel requests (RFC 4254 §6): terminals, variables, agents, signals; commands are in commands.ts. */
import { escapeBytes } from '../wire/escape.js';
import type { RelayChannel } from './channel.js';
import { startCommand } from './commands.js';
import { holdExit, releaseEof } from './exit-order.js';
import type { Relay } from './relay.js';

/** Variables that change what a program on the target loads or runs, whatever its sshd accepts (SSH-10). */
const forbiddenVariables = /^(LD_.*|DYLD_.*|PATH|IFS|BASH_ENV)$/;

/** Requests that pass once they are noted. */
const passedKinds: ReadonlySet<string> = new Set(['pty', 'window', 'signal', 'known']);

interface Asked {
  readonly request: ChannelRequest;
  readonly message: Buffer;
}

export function handleUserRequest(relay: Relay, channel: RelayChannel, message: Buffer): void {
  const request = parseChannelRequest(message);
  const isSession = channel.type === 'session';
  if (isSession && startsProgram(request.detail)) {
    const kept = Buffer.from(message);
    startCommand(relay, channel, { request: parseChannelRequest(kept), message: kept });
  } else if (isSession ? isAllowed(relay, channel, request) : request.detail.kind === 'known') {
    pass(relay, channel, { request, message });
  } else deny(relay, channel, request);
}

/** Decides on a request that starts nothing, and remembers what it says. */
function isAllowed(relay: Relay, channel: RelayChannel, request: ChannelRequest): boolean {
  const { detail } = request;
  if (detail.kind === 'env') return !forbiddenVariables.test(detail.variable);
  if (detail.kind === 'agent') {
    relay.agentGranted ||= relay.session.options.forwardAgent;
    return relay.session.options.forwardAgent;
  }
  if (detail.kind === 'pty') channel.pty = { columns: detail.columns, rows: detail.rows };
  if (detail.kind === 'window') resize(channel, detail.columns, detail.rows);
  return passedKinds.has(detail.kind);
}

/** Requests of the node: how a command ended; nothing of them is decided. */
export function handleNodeRequest(relay: Relay, channel: RelayChannel, message: Buffer): void {
  const { detail } = parseChannelRequest(message);
  if (detail.kind === 'exit-status') channel.exit = { exit_code: detail.code };
  if (detail.kind === 'exit-signal')
    channel.exit = { signal: escapeBytes(Buffer.from(detail.signal)) };
  const isExit = detail.kind.startsWith('exit-');
  if (isExit && channel.heldExit === undefined && channel.heldEof === undefined) {
    holdExit(relay, channel, message);
    return;
  }
  relay.user.send(message);
  if (isExit) releaseEof(relay, channel);
}

function pass(relay: Relay, channel: RelayChannel, asked: Asked): void {
  if (asked.request.wantReply) channel.requests.expectRelayed();
  if (asked.request.detail.kind === 'signal') relay.session.activity();
  relay.node.send(asked.message);
}

function resize(channel: RelayChannel, columns: number, rows: number): void {
  if (channel.pty === undefined) return;
  channel.pty = { columns, rows };
  channel.recorder?.resize(columns, rows);
}

function deny(relay: Relay, channel: RelayChannel, request: ChannelRequest): void {
  const { detail } = request;
  relay.emitDenied('ssh.request_denied', {
    name: deniedName(request),
    what: detail.kind === 'env' ? 'variable' : 'request',
  });
  channel.reply(false, request.wantReply);
}

function deniedName(request: ChannelRequest): string {
  if (request.detail.kind === 'env') return escapeBytes(Buffer.from(request.detail.variable));
  if (request.detail.kind === 'agent') return 'auth-agent';
  return escapeBytes(Buffer.from(request.name));
}
