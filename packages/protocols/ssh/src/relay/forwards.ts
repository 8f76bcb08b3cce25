/** Channels and global requests: what may be opened, forwarded and listened on. */
import { openFailure } from '../errors.js';
import { encodeMessage, WireReader } from '../wire/codec.js';
import {
  parseGlobalRequest,
  type ChannelOpen,
  type ForwardAddress,
  type GlobalRequest,
} from '../wire/connection.js';
import { escapeBytes } from '../wire/escape.js';
import { messageType } from '../wire/message-types.js';
import type { RelayChannel } from './channel.js';
import type { Relay } from './relay.js';

const passedGlobals = new Set(['keepalive@openssh.com', 'no-more-sessions@openssh.com']);

export function handleUserOpen(relay: Relay, open: ChannelOpen, message: Buffer): void {
  switch (open.type) {
    case 'session':
      return openSession(relay, open, message);
    case 'direct-tcpip':
    case 'direct-streamlocal@openssh.com':
      return openForward(relay, open, message);
    default:
      relay.emitDenied('ssh.request_denied', { name: safeName(open.type), what: 'channel' });
      relay.refuseOpen(relay.user, open, {
        code: openFailure.unknownChannelType,
        text: 'unknown channel type',
      });
  }
}

function openSession(relay: Relay, open: ChannelOpen, message: Buffer): void {
  const channel = relay.addUserChannel(open);
  if (channel === undefined) return;
  relay.session.activity();
  relay.forwardOpen(channel, open, message);
}

function openForward(relay: Relay, open: ChannelOpen, message: Buffer): void {
  const data = { kind: 'local', ...describeAddress(open.address) };
  if (!allowsForward(relay, 'local')) {
    relay.emitDenied('ssh.forward_denied', data);
    relay.refuseOpen(relay.user, open, {
      code: openFailure.administrativelyProhibited,
      text: 'local forwarding is not allowed',
    });
    return;
  }
  const channel = relay.addUserChannel(open);
  if (channel === undefined) return;
  const copy = Buffer.from(message);
  relay.track(carryForward(relay, channel, { open, message: copy, data }), 'forward failed');
}

interface ForwardStart {
  readonly open: ChannelOpen;
  readonly message: Buffer;
  readonly data: Record<string, unknown>;
}

async function carryForward(
  relay: Relay,
  channel: RelayChannel,
  start: ForwardStart,
): Promise<void> {
  let hasStarted = false;
  try {
    await relay.session.perform(
      { type: 'ssh.forward_opened', outcome: 'success', data: start.data },
      async () => {
        hasStarted = true;
        if (!relay.isOver) relay.forwardOpen(channel, start.open, start.message);
        await channel.closed;
        return { value: undefined, event: forwardClosed(relay, channel, start.data) };
      },
    );
  } catch (thrown) {
    if (hasStarted) throw thrown;
    relay.remove(channel);
    relay.refuseOpen(relay.user, start.open, {
      code: openFailure.administrativelyProhibited,
      text: 'audit is not available',
    });
  }
}

function forwardClosed(relay: Relay, channel: RelayChannel, data: Record<string, unknown>) {
  const { bytesIn, bytesOut, openFailure: failure } = channel;
  const durationMs = Math.round(relay.nowMs() - channel.openedMs);
  return {
    type: 'ssh.forward_closed',
    outcome: failure === undefined ? ('success' as const) : ('failure' as const),
    ...(failure !== undefined && { reason: escapeBytes(Buffer.from(failure)) }),
    data: { ...data, bytesIn, bytesOut, durationMs },
  };
}

export function handleUserGlobal(relay: Relay, message: Buffer): void {
  const request = parseGlobalRequest(message);
  switch (request.name) {
    case 'tcpip-forward':
    case 'streamlocal-forward@openssh.com':
      return requestRemoteForward(relay, request, message);
    case 'cancel-tcpip-forward':
    case 'cancel-streamlocal-forward@openssh.com':
      return cancelRemoteForward(relay, request, message);
    default:
      if (passedGlobals.has(request.name)) return passGlobal(relay, request, message);
      relay.emitDenied('ssh.request_denied', {
        name: safeName(request.name),
        what: 'global request',
      });
      return refuseGlobal(relay, request);
  }
}

function requestRemoteForward(relay: Relay, request: GlobalRequest, message: Buffer): void {
  const data = { kind: 'remote', ...describeAddress(request.address) };
  if (!allowsForward(relay, 'remote')) {
    relay.emitDenied('ssh.forward_denied', data);
    refuseGlobal(relay, request);
    return;
  }
  relay.session.activity();
  // Without a reply nobody would learn of the port, so none is ever asked for in that way.
  if (!request.wantReply) return;
  relay.userRequests.expectRelayed((reply) => {
    onForwardReply(relay, request.address, { reply: Buffer.from(reply), data });
  });
  relay.node.send(message);
}

function onForwardReply(
  relay: Relay,
  address: ForwardAddress | undefined,
  result: { reply: Buffer; data: Record<string, unknown> },
): void {
  const { reply, data } = result;
  const isGranted = reply[0] === messageType.requestSuccess;
  if (!isGranted || address === undefined) {
    relay.session.emit({
      type: 'ssh.forward_opened',
      outcome: 'failure',
      reason: 'target_refused',
      data,
    });
    return;
  }
  const isAnyPort = 'port' in address && address.port === 0 && reply.length >= 5;
  const port = isAnyPort ? new WireReader(reply, 1).u32() : undefined;
  const granted = port === undefined ? address : { ...address, port };
  relay.remoteForwards.add(forwardKey(granted));
  relay.session.emit({
    type: 'ssh.forward_opened',
    outcome: 'success',
    data: { kind: 'remote', ...describeAddress(granted) },
  });
}

function cancelRemoteForward(relay: Relay, request: GlobalRequest, message: Buffer): void {
  if (request.wantReply) {
    relay.userRequests.expectRelayed((reply) => {
      if (reply[0] !== messageType.requestSuccess || request.address === undefined) return;
      relay.remoteForwards.delete(forwardKey(request.address));
    });
  }
  relay.node.send(message);
}

function passGlobal(relay: Relay, request: GlobalRequest, message: Buffer): void {
  if (request.wantReply) relay.userRequests.expectRelayed();
  relay.node.send(message);
}

function refuseGlobal(relay: Relay, request: GlobalRequest): void {
  if (!request.wantReply) return;
  relay.userRequests.answer(() => relay.user.send(encodeMessage(messageType.requestFailure)));
}

/** Only keepalives pass: `hostkeys-00` is bound to the other connection and would name keys the user must not trust. */
export function handleNodeGlobal(relay: Relay, message: Buffer): void {
  const request = parseGlobalRequest(message);
  if (request.name === 'keepalive@openssh.com') {
    if (request.wantReply) relay.nodeRequests.expectRelayed();
    relay.user.send(message);
  } else if (request.wantReply) {
    relay.nodeRequests.answer(() => relay.node.send(encodeMessage(messageType.requestFailure)));
  }
}

/** The node opens a channel: only what the user asked it to send, and the role still allows. */
export function handleNodeOpen(relay: Relay, open: ChannelOpen, message: Buffer): void {
  const refusal = nodeOpenRefusal(relay, open);
  if (refusal !== undefined) {
    relay.refuseOpen(relay.node, open, {
      code: openFailure.administrativelyProhibited,
      text: refusal,
    });
    return;
  }
  const channel = relay.addNodeChannel(open);
  if (channel === undefined) return;
  relay.session.activity();
  relay.user.send(message);
  if (open.address === undefined) return;
  const data = { kind: 'remote', ...describeAddress(open.address) };
  const closed = channel.closed.then(() => relay.session.emit(forwardClosed(relay, channel, data)));
  relay.track(closed, 'forward failed');
}

function nodeOpenRefusal(relay: Relay, open: ChannelOpen): string | undefined {
  if (!isExpected(relay, open)) return 'not asked for';
  if (open.address === undefined) {
    if (relay.session.options.forwardAgent) return undefined;
    relay.emitDenied('ssh.request_denied', { name: 'auth-agent', what: 'channel' });
  } else {
    if (allowsForward(relay, 'remote')) return undefined;
    relay.emitDenied('ssh.forward_denied', { kind: 'remote', ...describeAddress(open.address) });
  }
  return 'not allowed any more';
}

function isExpected(relay: Relay, open: ChannelOpen): boolean {
  if (open.type === 'auth-agent@openssh.com') return relay.agentGranted;
  if (!open.type.startsWith('forwarded-') || open.address === undefined) return false;
  return relay.remoteForwards.has(forwardKey(open.address));
}

/** A port is known by its number alone: servers report the bind address in their own words. */
function forwardKey(address: ForwardAddress): string {
  return 'port' in address ? `port ${address.port}` : `path ${address.path}`;
}

function allowsForward(relay: Relay, kind: 'local' | 'remote'): boolean {
  const allowed = relay.session.options.portForwarding;
  return allowed === 'both' || allowed === kind;
}

function describeAddress(address: ForwardAddress | undefined): Record<string, unknown> {
  if (address === undefined) return {};
  if ('path' in address) return { path: safeName(address.path) };
  return { host: safeName(address.host), port: address.port };
}

function safeName(name: string): string {
  return escapeBytes(Buffer.from(name));
}
