/**
 * The relay between a person's connection and the node's (RFC 4254). One connection maps to one, so channel ids, windows
 * and data pass as they are; messages that ask for something are read, decided and audited first:
 *
 *   user → node  opens (forwards.ts), global requests (forwards.ts), channel requests (requests.ts, commands.ts), data
 *   node → user  opens of forwarded channels, exit codes, data (recorded, counted)
 *
 * Whichever side's socket is full pauses the other; nothing is stored beyond what is being decided.
 */
import type { Logger } from '@gatehouse/kit/log';
import type { Session } from '@gatehouse/protocol-api';

import { disconnectReason, openFailure, sshError } from '../errors.js';
import type { SshTransport } from '../transport/transport.js';
import { encodeMessage, WireReader } from '../wire/codec.js';
import {
  parseChannelConfirmation,
  parseChannelOpen,
  recipientOf,
  type ChannelOpen,
} from '../wire/connection.js';
import { messageType, stderrCode } from '../wire/message-types.js';
import { RelayChannel } from './channel.js';
import { releaseExit } from './exit-order.js';
import { handleNodeGlobal, handleNodeOpen, handleUserGlobal, handleUserOpen } from './forwards.js';
import { ReplyQueue } from './reply-queue.js';
import { handleNodeRequest, handleUserRequest } from './requests.js';
import { Valve } from './valve.js';

/** Channels at a time; OpenSSH opens ten sessions and one per forwarded connection. */
const maxChannels = 1000;
/** Bytes that may wait for decisions before the user's socket is paused. */
const maxHeldBytes = 1024 * 1024;
/** Audit events for things denied; more of one session are only counted. */
const maxDeniedEvents = 200;

export interface RelayOptions {
  readonly session: Session;
  readonly user: SshTransport;
  readonly node: SshTransport;
  readonly nowMs: () => number;
}

/** One relayed connection. All work happens in the handlers of the two transports. */
export class Relay {
  readonly session: Session;
  readonly user: SshTransport;
  readonly node: SshTransport;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly byUser = new Map<number, RelayChannel>();
  readonly byNode = new Map<number, RelayChannel>();
  /** Global requests of the user, answered by the node. */
  readonly userRequests: ReplyQueue;
  /** Global requests of the node, answered by the user. */
  readonly nodeRequests: ReplyQueue;
  /** Ports and sockets on the node that were granted; key as `forwardKey` makes it. */
  readonly remoteForwards = new Set<string>();
  readonly userValve: Valve;
  readonly nodeValve: Valve;
  agentGranted = false;
  isOver = false;
  private readonly tasks = new Set<Promise<unknown>>();
  private heldBytes = 0;
  private deniedEvents = 0;

  constructor(options: RelayOptions) {
    this.session = options.session;
    this.user = options.user;
    this.node = options.node;
    this.logger = options.session.logger;
    this.nowMs = options.nowMs;
    this.userValve = new Valve(options.user);
    this.nodeValve = new Valve(options.node);
    this.userRequests = new ReplyQueue((reply) => this.user.send(reply));
    this.nodeRequests = new ReplyQueue((reply) => this.node.send(reply));
  }

  start(): void {
    couple({ from: this.user, valve: this.userValve, to: this.node });
    couple({ from: this.node, valve: this.nodeValve, to: this.user });
    this.node.stream((message) => this.fromNode(message));
    this.user.stream((message) => this.fromUser(message));
  }

  /** Ends all channels and waits for what they still have to write. */
  async finish(): Promise<void> {
    this.isOver = true;
    const channels = new Set([...this.byUser.values(), ...this.byNode.values()]);
    for (const channel of channels) this.remove(channel);
    await Promise.allSettled([...this.tasks]);
  }

  /** Work that `finish` waits for. */
  track(task: Promise<unknown>, what: string): void {
    const tracked = task
      .catch((thrown: unknown) => this.logger.warn({ err: thrown }, what))
      .finally(() => this.tasks.delete(tracked));
    this.tasks.add(tracked);
  }

  /** Holds the user's messages on a channel until `release`. */
  hold(channel: RelayChannel): void {
    channel.held ??= [];
  }

  release(channel: RelayChannel): void {
    const held = channel.held ?? [];
    channel.held = undefined;
    for (const message of held) {
      this.heldBytes -= message.length;
      this.handleHeld(message);
    }
    if (this.heldBytes <= maxHeldBytes) this.userValve.open('held');
  }

  /** A message may make the channel wait again; what is behind it keeps its place. */
  private handleHeld(message: Buffer): void {
    try {
      this.fromUser(message);
    } catch (thrown) {
      this.logger.info({ err: thrown }, 'client broke the protocol');
      this.user.disconnect(disconnectReason.protocolError, 'protocol error');
    }
  }

  /** Text to the person on a channel's stderr, as far as the reserve of its window goes. */
  sendText(channel: RelayChannel, text: string): void {
    const bytes = Buffer.from(text).subarray(0, Math.max(0, channel.userMaxPacket));
    if (bytes.length === 0 || !channel.userReserve.take(bytes.length)) return;
    this.user.send(encodeMessage(messageType.channelExtendedData, channel.userId, stderrCode, bytes));
  }

  /** Data of ours, in messages as small as the receiver asks for. */
  sendData(to: 'user' | 'node', channel: RelayChannel, data: Buffer): void {
    const [transport, id, limit] =
      to === 'user'
        ? ([this.user, channel.userId, channel.userMaxPacket] as const)
        : ([this.node, channel.nodeId, channel.nodeMaxPacket] as const);
    const step = Math.max(1, Math.min(limit, 32_768));
    for (let start = 0; start < data.length; start += step) {
      transport.send(encodeMessage(messageType.channelData, id, data.subarray(start, start + step)));
    }
  }

  /** Lets the sender of `bytes` send as many more: they were taken out of the stream. */
  sendCredit(to: 'user' | 'node', channel: RelayChannel, bytes: number): void {
    if (bytes === 0) return;
    const [transport, id] = to === 'user' ? [this.user, channel.userId] : [this.node, channel.nodeId];
    transport.send(encodeMessage(messageType.channelWindowAdjust, id, bytes));
  }

  refuseOpen(to: SshTransport, open: ChannelOpen, refusal: { code: number; text: string }): void {
    to.send(encodeMessage(messageType.channelOpenFailure, open.sender, refusal.code, refusal.text, ''));
  }

  emitDenied(type: string, data: Record<string, unknown>): void {
    this.deniedEvents += 1;
    if (this.deniedEvents > maxDeniedEvents) return;
    this.session.emit({ type, outcome: 'denied', data });
  }

  /** Registers a channel that `open` asks for; undefined (and refused) when there are too many. */
  addUserChannel(open: ChannelOpen): RelayChannel | undefined {
    if (this.byUser.has(open.sender)) throw protocolError('a channel id is used twice');
    if (this.byUser.size >= maxChannels) {
      this.refuseOpen(this.user, open, { code: openFailure.resourceShortage, text: 'too many channels' });
      return undefined;
    }
    const channel = this.createChannel(open, open.sender);
    channel.userMaxPacket = open.maxPacket;
    channel.userWindow = open.window;
    this.byUser.set(open.sender, channel);
    return channel;
  }

  /** The same for one that the node opens. */
  addNodeChannel(open: ChannelOpen): RelayChannel | undefined {
    if (this.byNode.has(open.sender)) throw protocolError('a channel id is used twice');
    if (this.byNode.size >= maxChannels) {
      this.refuseOpen(this.node, open, { code: openFailure.resourceShortage, text: 'too many channels' });
      return undefined;
    }
    const channel = this.createChannel(open, -1);
    channel.nodeId = open.sender;
    this.byNode.set(open.sender, channel);
    return channel;
  }

  /** Passes an open on, with a part of the window set aside for messages of ours. */
  forwardOpen(channel: RelayChannel, open: ChannelOpen, message: Buffer): void {
    if (open.type === 'session') {
      channel.userCredit = channel.userReserve.setAside(open.window);
      message.writeUInt32BE(channel.userCredit, open.windowOffset);
    }
    this.node.send(message);
  }

  remove(channel: RelayChannel): void {
    this.byUser.delete(channel.userId);
    this.byNode.delete(channel.nodeId);
    this.discardHeld(channel);
    this.finishChannel(channel);
  }

  /** Forgets the user's messages that wait on a channel. */
  discardHeld(channel: RelayChannel): void {
    for (const message of channel.held?.splice(0) ?? []) this.heldBytes -= message.length;
    channel.held = undefined;
    if (this.heldBytes <= maxHeldBytes) this.userValve.open('held');
  }

  private finishChannel(channel: RelayChannel): void {
    channel.finish();
    if (channel.pty === undefined || channel.hasCommand) return;
    // A terminal in which nothing was started has a recording all the same (SSH-21).
    channel.hasCommand = true;
    this.track(this.session.record(channel.pty).end(), 'recording failed');
  }

  private createChannel(open: ChannelOpen, userId: number): RelayChannel {
    return new RelayChannel({
      type: open.type,
      userId,
      address: open.address,
      openedMs: this.nowMs(),
      sendToUser: (message) => this.user.send(message),
    });
  }

  private fromUser(message: Buffer): void {
    switch (message[0]) {
      case messageType.globalRequest:
        return handleUserGlobal(this, message);
      case messageType.requestSuccess:
      case messageType.requestFailure:
        this.nodeRequests.onReply(message);
        return undefined;
      case messageType.channelOpen:
        return handleUserOpen(this, parseChannelOpen(message), message);
      case messageType.channelOpenConfirmation:
        return this.onUserConfirmation(message);
      case messageType.channelOpenFailure:
        return this.onOpenFailure(this.byNode.get(recipientOf(message)), this.node, message);
      case messageType.userauthRequest:
        return undefined;
      default:
        return this.fromUserOnChannel(message);
    }
  }

  private fromUserOnChannel(message: Buffer): void {
    const type = message[0] ?? 0;
    if (type < messageType.channelWindowAdjust || type > messageType.channelFailure) {
      this.user.sendUnimplemented();
      return;
    }
    const channel = this.byNode.get(recipientOf(message));
    if (channel === undefined) return;
    if (channel.held !== undefined) {
      this.holdMessage(channel.held, message);
      return;
    }
    if (type === messageType.channelClose) this.onUserClose(channel, message);
    else if (channel.refused) return;
    else if (type === messageType.channelData) this.onUserData(channel, message);
    else if (type === messageType.channelWindowAdjust) this.onUserAdjust(channel, message);
    else if (type === messageType.channelRequest) handleUserRequest(this, channel, message);
    else this.node.send(message);
  }

  private holdMessage(held: Buffer[], message: Buffer): void {
    held.push(Buffer.from(message));
    this.heldBytes += message.length;
    if (this.heldBytes > maxHeldBytes) this.userValve.close('held');
  }

  private onUserData(channel: RelayChannel, message: Buffer): void {
    const data = dataOf(message, 5);
    channel.bytesIn += data.length;
    this.session.activity();
    if (channel.inspector === undefined || channel.inspector.fromUser(data)) this.node.send(message);
  }

  private onUserAdjust(channel: RelayChannel, message: Buffer): void {
    const passed = channel.userReserve.refill(new WireReader(message, 5).u32());
    channel.inspector?.onWindow();
    if (passed === 0) return;
    channel.userCredit += passed;
    message.writeUInt32BE(passed, 5);
    this.node.send(message);
  }

  private onUserClose(channel: RelayChannel, message: Buffer): void {
    channel.closedByUser = true;
    if (!channel.refused) this.node.send(message);
    if (channel.closedByNode) this.remove(channel);
  }

  private onUserConfirmation(message: Buffer): void {
    const confirmation = parseChannelConfirmation(message);
    const channel = this.byNode.get(confirmation.recipient);
    if (channel === undefined || channel.userId !== -1) return;
    if (this.byUser.has(confirmation.sender)) throw protocolError('a channel id is used twice');
    channel.userId = confirmation.sender;
    this.byUser.set(confirmation.sender, channel);
    this.node.send(message);
  }

  private onOpenFailure(channel: RelayChannel | undefined, to: SshTransport, message: Buffer): void {
    if (channel === undefined) return;
    const reader = new WireReader(message, 9);
    channel.openFailure = reader.text(4096);
    this.remove(channel);
    const isSession = channel.type === 'session' && to === this.user;
    if (!isSession) {
      to.send(message);
      return;
    }
    const text = 'target refused another session';
    to.send(encodeMessage(messageType.channelOpenFailure, channel.userId, openFailure.resourceShortage, text, ''));
  }

  private fromNode(message: Buffer): void {
    switch (message[0]) {
      case messageType.globalRequest:
        return handleNodeGlobal(this, message);
      case messageType.requestSuccess:
      case messageType.requestFailure:
        this.userRequests.onReply(message);
        return undefined;
      case messageType.channelOpen:
        return handleNodeOpen(this, parseChannelOpen(message), message);
      case messageType.channelOpenConfirmation:
        return this.onNodeConfirmation(message);
      case messageType.channelOpenFailure:
        return this.onOpenFailure(this.byUser.get(recipientOf(message)), this.user, message);
      default:
        return this.fromNodeOnChannel(message);
    }
  }

  private fromNodeOnChannel(message: Buffer): void {
    const type = message[0] ?? 0;
    if (type < messageType.channelWindowAdjust || type > messageType.channelFailure) {
      this.node.sendUnimplemented();
      return;
    }
    const channel = this.byUser.get(recipientOf(message));
    if (channel === undefined) return;
    if (type === messageType.channelSuccess || type === messageType.channelFailure) {
      channel.requests.onReply(Buffer.from(message));
    } else if (type === messageType.channelClose) this.onNodeClose(channel, message);
    else if (channel.refused) return;
    else if (type === messageType.channelData) this.onNodeData(channel, message, 5);
    else if (type === messageType.channelExtendedData) this.onNodeData(channel, message, 9);
    else if (type === messageType.channelWindowAdjust) this.onNodeAdjust(channel, message);
    else if (type === messageType.channelRequest) handleNodeRequest(this, channel, message);
    else if (type === messageType.channelEof) this.onNodeEof(channel, message);
  }

  private onNodeConfirmation(message: Buffer): void {
    const confirmation = parseChannelConfirmation(message);
    const channel = this.byUser.get(confirmation.recipient);
    if (channel === undefined || channel.nodeId !== -1) return;
    if (this.byNode.has(confirmation.sender)) throw protocolError('a channel id is used twice');
    channel.nodeId = confirmation.sender;
    channel.nodeMaxPacket = confirmation.maxPacket;
    this.byNode.set(confirmation.sender, channel);
    if (channel.type === 'session') {
      const window = channel.nodeReserve.setAside(confirmation.window);
      message.writeUInt32BE(window, confirmation.windowOffset);
    }
    this.user.send(message);
  }

  private onNodeData(channel: RelayChannel, message: Buffer, start: number): void {
    const data = dataOf(message, start);
    channel.bytesOut += data.length;
    channel.userCredit -= data.length;
    this.session.activity();
    if (channel.recorder !== undefined) this.recordOutput(channel.recorder, data);
    const inspected = start === 5 ? channel.inspector : undefined;
    if (inspected === undefined || inspected.fromNode(data)) this.user.send(message);
  }

  private recordOutput(recorder: NonNullable<RelayChannel['recorder']>, data: Buffer): void {
    recorder.output(Buffer.from(data));
    if (!recorder.overloaded || this.nodeValve.isClosed('recorder')) return;
    this.nodeValve.close('recorder');
    this.track(
      recorder.drained().finally(() => this.nodeValve.open('recorder')),
      'recorder did not drain',
    );
  }

  private onNodeAdjust(channel: RelayChannel, message: Buffer): void {
    const passed = channel.nodeReserve.refill(new WireReader(message, 5).u32());
    if (passed === 0) return;
    message.writeUInt32BE(passed, 5);
    this.user.send(message);
  }

  private onNodeEof(channel: RelayChannel, message: Buffer): void {
    releaseExit(this, channel);
    this.user.send(message);
  }

  private onNodeClose(channel: RelayChannel, message: Buffer): void {
    channel.closedByNode = true;
    releaseExit(this, channel);
    if (!channel.refused) this.user.send(message);
    this.finishChannel(channel);
    if (channel.closedByUser) this.remove(channel);
  }
}

/** Ties reading on one side to room on the other. */
function couple(legs: { from: SshTransport; valve: Valve; to: SshTransport }): void {
  legs.from.onChunk = {
    before: () => legs.to.cork(),
    after: () => {
      legs.to.uncork();
      if (legs.to.congested) legs.valve.close('other side');
    },
  };
  legs.to.onDrain = () => legs.valve.open('other side');
}

function dataOf(message: Buffer, start: number): Buffer {
  const reader = new WireReader(message, start);
  const data = reader.string();
  return data;
}

function protocolError(why: string): Error {
  return sshError('SSH_PROTOCOL', { details: { why }, reason: 'protocol' });
}
