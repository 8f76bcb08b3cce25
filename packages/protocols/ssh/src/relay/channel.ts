/** What a relay knows of one channel. Ids pass unchanged, so each side's own id is also what the other side uses. */
import type { Recorder } from '@gatehouse/protocol-api';

import { sshError } from '../errors.js';
import { encodeMessage } from '../wire/codec.js';
import type { ForwardAddress } from '../wire/connection.js';
import { messageType } from '../wire/message-types.js';
import { ReplyQueue } from './reply-queue.js';
import { WindowReserve } from './reserve.js';

/** Of the user's window, for texts and answers of ours. */
const userReserveBytes = 64 * 1024;
/** Of the node's window, for questions of ours. */
const nodeReserveBytes = 16 * 1024;

/** Looks into the bytes of a channel, and may take out or put in some. */
export interface StreamInspector {
  /** Bytes from the user. True: pass the message on as it is; false: the inspector has sent what is to be sent. */
  fromUser(data: Buffer): boolean;
  /** Bytes from the node (stdout only). */
  fromNode(data: Buffer): boolean;
  /** The user's window has grown: what waits may go. */
  onWindow(): void;
  /** The channel has closed. */
  end(): void;
}

export interface ChannelExit {
  readonly exit_code?: number;
  readonly signal?: string;
}

export interface ChannelOptions {
  readonly type: string;
  readonly userId: number;
  readonly address: ForwardAddress | undefined;
  readonly openedMs: number;
  /** Sends a message to the user's side. */
  readonly sendToUser: (message: Buffer) => void;
}

export class RelayChannel {
  readonly type: string;
  /** The user's id; -1 until the user has confirmed a channel that the node opened. */
  userId: number;
  /** The node's id; -1 until the node has confirmed. */
  nodeId = -1;
  readonly address: ForwardAddress | undefined;
  readonly openedMs: number;
  readonly requests: ReplyQueue;
  /** For messages of ours to the user, out of the user's window. */
  readonly userReserve = new WindowReserve(userReserveBytes);
  /** For messages of ours to the node, out of the node's window. */
  readonly nodeReserve = new WindowReserve(nodeReserveBytes);
  /** The user's first window. */
  userWindow = 0;
  userMaxPacket = 0;
  nodeMaxPacket = 0;
  bytesIn = 0;
  bytesOut = 0;
  pty: { columns: number; rows: number } | undefined;
  recorder: Recorder | undefined;
  inspector: StreamInspector | undefined;
  hasCommand = false;
  exit: ChannelExit = {};
  /** The node's message with the exit code, kept back until its output has passed (exit-order.ts). */
  heldExit: Buffer | undefined;
  stopExitTimer: (() => void) | undefined;
  /** The node's EOF, which waits a moment for the exit code. */
  heldEof: Buffer | undefined;
  eofTimer: NodeJS.Timeout | undefined;
  /** What the node may still send as the user sees it: the window, less the reserve. */
  userCredit = 0;
  /** Why the node refused to open it. */
  openFailure: string | undefined;
  /** The relay has closed it on both sides; what still comes is dropped. */
  refused = false;
  closedByUser = false;
  closedByNode = false;
  /** Messages of the user that wait for a decision. */
  held: Buffer[] | undefined;
  /** Resolves when the node has closed the channel, or the connection has ended. */
  readonly closed: Promise<void>;
  private resolveClosed: () => void = () => undefined;
  private readonly sendToUser: (message: Buffer) => void;

  constructor(options: ChannelOptions) {
    this.type = options.type;
    this.userId = options.userId;
    this.address = options.address;
    this.openedMs = options.openedMs;
    this.sendToUser = options.sendToUser;
    this.requests = new ReplyQueue(options.sendToUser);
    this.closed = new Promise((resolve) => (this.resolveClosed = resolve));
  }

  /** Answers a request of the user that was not relayed, in its turn. */
  reply(isSuccess: boolean, wantReply: boolean): void {
    if (!wantReply) return;
    const type = isSuccess ? messageType.channelSuccess : messageType.channelFailure;
    this.requests.answer(() => this.sendToUser(encodeMessage(type, this.userId)));
  }

  /** The node is done with it: results can be written. */
  finish(): void {
    this.requests.close();
    this.stopExitTimer?.();
    this.inspector?.end();
    this.inspector = undefined;
    this.resolveClosed();
  }
}

/** A side names a channel by an id that it uses already. */
export function reusedId(): Error {
  return sshError('SSH_PROTOCOL', {
    details: { why: 'a channel id is used twice' },
    reason: 'protocol',
  });
}
