/**
 * The relay between a person's connection and the node's (RFC 4254). One connection maps to one, so channel ids, windows
 * and data pass as they are; messages that ask for something are read, decided and audited first:
 *
 *   user → node  opens (forwards.ts), global requests (forwards.ts), channel requests (requests.ts, commands.ts), data
 *   node → user  opens of forwarded channels, exit codes, data (recorded, counted)
 *
 * Whichever side's socket is full pauses the other; nothing is stored beyond what is being decided.
 */
import type { Clock } from '@gatehouse/kit/clock';
import type { Logger } from '@gatehouse/kit/log';
import type { Session } from '@gatehouse/protocol-api';

import { createDenialLog, type DenialLog } from '../denial-log.js';
import { disconnectReason, openFailure } from '../errors.js';
import type { SshTransport } from '../transport/transport.js';
import { encodeMessage } from '../wire/codec.js';
import type { ChannelOpen } from '../wire/connection.js';
import { messageType, stderrCode } from '../wire/message-types.js';
import { RelayChannel, reusedId } from './channel.js';
import { handleNodeMessage } from './node-messages.js';
import { ReplyQueue } from './reply-queue.js';
import { handleUserMessage } from './user-messages.js';
import { Valve } from './valve.js';

/** Channels at a time; OpenSSH opens ten sessions and one per forwarded connection. */
const maxChannels = 1000;
/** Bytes that may wait for decisions before the user's socket is paused. */
const maxHeldBytes = 1024 * 1024;

export interface RelayOptions {
  readonly session: Session;
  readonly user: SshTransport;
  readonly node: SshTransport;
  readonly clock: Clock;
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
  private readonly denials: DenialLog;

  constructor(options: RelayOptions) {
    this.session = options.session;
    this.user = options.user;
    this.node = options.node;
    this.logger = options.session.logger;
    this.nowMs = () => options.clock.monotonic();
    this.denials = createDenialLog(options.clock, (event) => this.session.emit(event));
    this.userValve = new Valve(options.user);
    this.nodeValve = new Valve(options.node);
    this.userRequests = new ReplyQueue((reply) => this.user.send(reply));
    this.nodeRequests = new ReplyQueue((reply) => this.node.send(reply));
  }

  start(): void {
    couple(this);
    this.node.stream((message) => handleNodeMessage(this, message));
    this.user.stream((message) => handleUserMessage(this, message));
  }

  /** Ends all channels and waits for what they still have to write. */
  async finish(): Promise<void> {
    this.isOver = true;
    const channels = new Set([...this.byUser.values(), ...this.byNode.values()]);
    for (const channel of channels) this.remove(channel);
    await Promise.allSettled(this.tasks);
    this.denials[Symbol.dispose]();
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
      handleUserMessage(this, message);
    } catch (thrown) {
      this.logger.info({ err: thrown }, 'client broke the protocol');
      this.user.disconnect(disconnectReason.protocolError, 'protocol error');
    }
  }

  /** Keeps a message of the user for `release`; a copy is made. */
  holdMessage(held: Buffer[], message: Buffer): void {
    held.push(Buffer.from(message));
    this.heldBytes += message.length;
    if (this.heldBytes > maxHeldBytes) this.userValve.close('held');
  }

  /** Text to the person on a channel's stderr, as far as the reserve of its window goes. */
  sendText(channel: RelayChannel, text: string): void {
    const bytes = Buffer.from(text).subarray(0, Math.max(0, channel.userMaxPacket));
    if (bytes.length === 0 || !channel.userReserve.take(bytes.length)) return;
    this.user.send(
      encodeMessage(messageType.channelExtendedData, channel.userId, stderrCode, bytes),
    );
  }

  /** Data of ours, in messages as small as the receiver asks for. */
  sendData(to: 'user' | 'node', channel: RelayChannel, data: Buffer): void {
    const [transport, id, limit] =
      to === 'user'
        ? ([this.user, channel.userId, channel.userMaxPacket] as const)
        : ([this.node, channel.nodeId, channel.nodeMaxPacket] as const);
    const step = Math.max(1, Math.min(limit, 32_768));
    for (let start = 0; start < data.length; start += step) {
      transport.send(
        encodeMessage(messageType.channelData, id, data.subarray(start, start + step)),
      );
    }
  }

  /** Lets the sender of `bytes` send as many more: they were taken out of the stream. */
  sendCredit(to: 'user' | 'node', channel: RelayChannel, bytes: number): void {
    if (bytes === 0) return;
    const [transport, id] =
      to === 'user' ? [this.user, channel.userId] : [this.node, channel.nodeId];
    transport.send(encodeMessage(messageType.channelWindowAdjust, id, bytes));
  }

  refuseOpen(to: SshTransport, open: ChannelOpen, refusal: { code: number; text: string }): void {
    to.send(
      encodeMessage(messageType.channelOpenFailure, open.sender, refusal.code, refusal.text, ''),
    );
  }

  emitDenied(type: string, data: Record<string, unknown>): void {
    this.denials.write({ type, outcome: 'denied', data });
  }

  /** Registers a channel that `open` asks for; undefined (and refused) when there are too many. */
  addUserChannel(open: ChannelOpen): RelayChannel | undefined {
    if (this.byUser.has(open.sender)) throw reusedId();
    if (this.byUser.size >= maxChannels) {
      this.refuseOpen(this.user, open, {
        code: openFailure.resourceShortage,
        text: 'too many channels',
      });
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
    if (this.byNode.has(open.sender)) throw reusedId();
    if (this.byNode.size >= maxChannels) {
      this.refuseOpen(this.node, open, {
        code: openFailure.resourceShortage,
        text: 'too many channels',
      });
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

  /** The node is done with a channel. */
  finishChannel(channel: RelayChannel): void {
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
}

/** Ties reading on one side to room on the other; and to room on its own, for a peer that floods without reading. */
function couple(relay: Relay): void {
  const legs = [
    { from: relay.user, valve: relay.userValve, to: relay.node, back: relay.nodeValve },
    { from: relay.node, valve: relay.nodeValve, to: relay.user, back: relay.userValve },
  ];
  for (const { from, valve, to, back } of legs) {
    from.onChunk = {
      before: () => to.cork(),
      after: () => {
        to.uncork();
        if (to.congested) valve.close('other side');
        if (from.flooded) valve.close('own side');
      },
    };
    from.onDrain = () => {
      valve.open('own side');
      back.open('other side');
    };
  }
}
