/** The server's side of the connection protocol (RFC 4254) for connections that end here: the gateway and the built-in node. */
import { openFailure, sshError } from '../errors.js';
import type { SshTransport } from '../transport/transport.js';
import { encodeMessage, WireReader } from '../wire/codec.js';
import {
  parseChannelConfirmation,
  parseChannelOpen,
  parseChannelRequest,
  parseGlobalRequest,
  recipientOf,
  type ChannelOpen,
  type ChannelRequest,
  type GlobalRequest,
} from '../wire/connection.js';
import { messageType } from '../wire/message-types.js';
import { channelPacketBytes, channelWindowBytes, ChannelStream } from './channel-stream.js';

/** Channels at a time. */
const maxChannels = 200;
/** Global requests that wait to be handled. */
const maxGlobals = 64;

/** Late logins, and answers to what was never asked. */
const ignoredTypes: ReadonlySet<number> = new Set([
  messageType.userauthRequest,
  messageType.requestSuccess,
  messageType.requestFailure,
  messageType.channelSuccess,
  messageType.channelFailure,
]);

export interface OpenRefusal {
  readonly code: number;
  readonly text: string;
}

export interface EndpointHandlers {
  /** Decides on a channel; what it returns is called with the stream once the channel is confirmed. */
  onOpen(open: ChannelOpen): Promise<((stream: ChannelStream) => void) | OpenRefusal>;
  /** Handles a request; `reply` does nothing where the peer wants none. Must be called before any output. */
  onRequest(
    stream: ChannelStream,
    request: ChannelRequest,
    reply: (isGranted: boolean) => void,
  ): void;
  /** The data of a success, or undefined for a failure. Requests are handled one after the other. */
  onGlobal(request: GlobalRequest): Promise<Buffer | undefined>;
}

/** A channel that was asked for and is not yet answered. */
interface Asked {
  resolve(stream: ChannelStream): void;
  reject(error: Error): void;
}

/** Serves one connection until it ends. */
export class ConnectionEndpoint {
  private readonly channels = new Map<number, ChannelStream>();
  private nextId = 0;
  private opening = 0;
  private readonly asked = new Map<number, Asked>();
  private globals: Promise<unknown> = Promise.resolve();
  private globalsWaiting = 0;

  constructor(
    private readonly transport: SshTransport,
    private readonly handlers: EndpointHandlers,
  ) {}

  /** Resolves when the connection has ended and every channel has been told. */
  async run(): Promise<void> {
    // A peer that asks without reading the answers is not read either.
    this.transport.onChunk = {
      before: () => undefined,
      after: () => {
        if (this.transport.flooded) this.transport.pause();
      },
    };
    this.transport.onDrain = () => {
      this.transport.resume();
      for (const channel of this.channels.values()) channel.flush();
    };
    this.transport.stream((message) => this.onMessage(message));
    await this.transport.ended;
    for (const channel of this.channels.values()) channel.abandon();
    this.channels.clear();
    for (const asked of this.asked.values()) asked.reject(new Error('the connection has ended'));
  }

  private onMessage(message: Buffer): void {
    switch (message[0] ?? 0) {
      case messageType.globalRequest:
        return this.onGlobal(message);
      case messageType.channelOpen:
        return this.onOpen(parseChannelOpen(message));
      case messageType.channelRequest:
        return this.onRequest(message);
      case messageType.channelOpenConfirmation:
      case messageType.channelOpenFailure:
        return this.onAnswer(message);
      default:
        return this.onChannelMessage(message);
    }
  }

  /**
   * Opens a channel towards the peer.
   * @throws when the peer refuses it or the connection ends or has ended
   */
  async open(type: string, fields: Buffer): Promise<ChannelStream> {
    if (this.transport.endedWith !== undefined) throw new Error('the connection has ended');
    if (this.channels.size + this.opening >= maxChannels) throw new Error('too many channels');
    const localId = this.nextId;
    this.nextId += 1;
    const head = encodeMessage(
      messageType.channelOpen,
      type,
      localId,
      channelWindowBytes,
      channelPacketBytes,
    );
    this.opening += 1;
    try {
      return await new Promise((resolve, reject) => {
        this.asked.set(localId, { resolve, reject });
        this.transport.send(Buffer.concat([head, fields]));
      });
    } finally {
      this.asked.delete(localId);
      this.opening -= 1;
    }
  }

  private onAnswer(message: Buffer): void {
    const asked = this.asked.get(recipientOf(message));
    if (asked === undefined) return;
    if (message[0] === messageType.channelOpenFailure) {
      asked.reject(new Error('the peer refused a channel'));
      return;
    }
    const { recipient, sender, window, maxPacket } = parseChannelConfirmation(message);
    asked.resolve(this.createStream(recipient, { sender, window, maxPacket }));
  }

  private onGlobal(message: Buffer): void {
    const request = parseGlobalRequest(message);
    if (this.globalsWaiting >= maxGlobals) {
      throw sshError('SSH_PROTOCOL', { details: { why: 'too many requests' }, reason: 'protocol' });
    }
    this.globalsWaiting += 1;
    this.globals = this.globals
      .then(() => this.handlers.onGlobal(request))
      .catch(() => undefined)
      .then((answer) => {
        this.globalsWaiting -= 1;
        if (request.wantReply) this.replyGlobal(answer);
      });
  }

  private replyGlobal(answer: Buffer | undefined): void {
    this.transport.send(
      answer === undefined
        ? encodeMessage(messageType.requestFailure)
        : Buffer.concat([Buffer.of(messageType.requestSuccess), answer]),
    );
  }

  private onOpen(open: ChannelOpen): void {
    if (this.channels.size + this.opening >= maxChannels) {
      this.refuse(open, { code: openFailure.resourceShortage, text: 'too many channels' });
      return;
    }
    this.opening += 1;
    this.handlers
      .onOpen(open)
      .then((outcome) => {
        if (typeof outcome === 'function') outcome(this.confirm(open));
        else this.refuse(open, outcome);
      })
      .catch(() => this.refuse(open, { code: openFailure.connectFailed, text: 'failed' }))
      .finally(() => (this.opening -= 1));
  }

  private confirm(open: ChannelOpen): ChannelStream {
    const localId = this.nextId;
    this.nextId += 1;
    const stream = this.createStream(localId, open);
    this.transport.send(
      encodeMessage(
        messageType.channelOpenConfirmation,
        open.sender,
        localId,
        channelWindowBytes,
        channelPacketBytes,
      ),
    );
    return stream;
  }

  private createStream(
    localId: number,
    peer: { readonly sender: number; readonly window: number; readonly maxPacket: number },
  ): ChannelStream {
    const stream = new ChannelStream({
      localId,
      remoteId: peer.sender,
      remoteWindow: peer.window,
      remoteMaxPacket: peer.maxPacket,
      send: (message) => this.transport.send(message),
      isCongested: () => this.transport.congested,
      onClosed: () => this.channels.delete(localId),
    });
    this.channels.set(localId, stream);
    if (this.transport.endedWith !== undefined) stream.abandon();
    return stream;
  }

  private refuse(open: ChannelOpen, refusal: OpenRefusal): void {
    this.transport.send(
      encodeMessage(messageType.channelOpenFailure, open.sender, refusal.code, refusal.text, ''),
    );
  }

  private onRequest(message: Buffer): void {
    const request = parseChannelRequest(message);
    const channel = this.channels.get(request.recipient);
    if (channel === undefined) return;
    this.handlers.onRequest(channel, request, (isGranted) => {
      if (!request.wantReply) return;
      const type = isGranted ? messageType.channelSuccess : messageType.channelFailure;
      this.transport.send(encodeMessage(type, channel.remoteId));
    });
  }

  private onChannelMessage(message: Buffer): void {
    const type = message[0] ?? 0;
    if (ignoredTypes.has(type)) return;
    const channel = this.channels.get(recipientOf(message));
    if (type < messageType.channelWindowAdjust || type > messageType.channelFailure) {
      this.transport.sendUnimplemented();
      return;
    }
    if (channel === undefined) return;
    const reader = new WireReader(message, 5);
    if (type === messageType.channelData) channel.receive(Buffer.from(reader.string()));
    else if (type === messageType.channelWindowAdjust) channel.receiveWindow(reader.u32());
    else if (type === messageType.channelEof) channel.receiveEof();
    else if (type === messageType.channelClose) channel.receiveClose();
    else
      throw sshError('SSH_PROTOCOL', {
        details: { why: 'stderr from a client' },
        reason: 'protocol',
      });
  }
}
