/** Channel requests (RFC 4254 §6): terminals, variables, agents, signals; commands are in commands.ts. */
import { escapeBytes } from '../wire/escape.js';
import { parseChannelRequest, type ChannelRequest } from '../wire/connection.js';
import type { RelayChannel } from './channel.js';
import { startCommand } from './commands.js';
import { holdExit } from './exit-order.js';
import type { Relay } from './relay.js';

/** Variables that change what a program on the target loads or runs, whatever its sshd accepts (SSH-10). */
const forbiddenVariables = /^(LD_.*|DYLD_.*|PATH|IFS|BASH_ENV)$/;

export function handleUserRequest(relay: Relay, channel: RelayChannel, message: Buffer): void {
  const request = parseChannelRequest(message);
  if (channel.type !== 'session') {
    if (request.detail.kind === 'known') pass(relay, channel, { request, message });
    else deny(relay, channel, request);
    return;
  }
  switch (request.detail.kind) {
    case 'exec':
    case 'shell':
    case 'subsystem':
      return startCommand(relay, channel, { request, message: Buffer.from(message) });
    case 'pty':
      channel.pty = { columns: request.detail.columns, rows: request.detail.rows };
      return pass(relay, channel, { request, message });
    case 'window':
      resize(channel, request.detail.columns, request.detail.rows);
      return pass(relay, channel, { request, message });
    case 'env':
      if (!forbiddenVariables.test(request.detail.variable)) return pass(relay, channel, { request, message });
      return deny(relay, channel, request, request.detail.variable);
    case 'agent':
      if (!relay.session.options.forwardAgent) return deny(relay, channel, request, 'auth-agent');
      relay.agentGranted = true;
      return pass(relay, channel, { request, message });
    case 'signal':
    case 'known':
      relay.session.activity();
      return pass(relay, channel, { request, message });
    case 'x11':
    case 'exit-status':
    case 'exit-signal':
    case 'unknown':
      return deny(relay, channel, request);
  }
}

/** Requests of the node: how a command ended; nothing of them is decided. */
export function handleNodeRequest(relay: Relay, channel: RelayChannel, message: Buffer): void {
  const { detail } = parseChannelRequest(message);
  if (detail.kind === 'exit-status') channel.exit = { exit_code: detail.code };
  if (detail.kind === 'exit-signal') channel.exit = { signal: escapeBytes(Buffer.from(detail.signal)) };
  if (detail.kind.startsWith('exit-') && channel.heldExit === undefined) holdExit(relay, channel, message);
  else relay.user.send(message);
}

function pass(relay: Relay, channel: RelayChannel, asked: { request: ChannelRequest; message: Buffer }): void {
  if (asked.request.wantReply) channel.requests.expectRelayed();
  relay.node.send(asked.message);
}

function resize(channel: RelayChannel, columns: number, rows: number): void {
  if (channel.pty === undefined) return;
  channel.pty = { columns, rows };
  channel.recorder?.resize(columns, rows);
}

function deny(relay: Relay, channel: RelayChannel, request: ChannelRequest, name = request.name): void {
  relay.emitDenied('ssh.request_denied', {
    name: escapeBytes(Buffer.from(name)),
    what: request.detail.kind === 'env' ? 'variable' : 'request',
  });
  channel.reply(false, request.wantReply);
}
