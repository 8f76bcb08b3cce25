/**
 * One SSH connection below authentication (RFC 4253): version exchange, key exchange, encryption, rekeying. ssh2's
 * `Protocol` does the cryptography; every message behind the key exchange comes here untouched.
 *
 * Messages are either pulled (`read`, while logging in: the socket pauses when nobody asks) or pushed (`stream`, while
 * relaying: the handler sees views that are valid only during the call).
 * What is sent during a key exchange waits and counts as congestion, so that a peer that never finishes one fills nothing.
 */
import type { Duplex } from 'node:stream';

import { onSharedChunks } from '@gatehouse/kit/net';
import Protocol from 'ssh2/lib/protocol/Protocol.js';

import { disconnectReason } from '../errors.js';
import { encodeMessage, WireReader } from '../wire/codec.js';
import { messageType } from '../wire/message-types.js';
import { Inbox } from './inbox.js';
import { disconnectText, endError, type TransportEnd } from './transport-end.js';
import {
  createOffer,
  createOfferFor,
  createVerifier,
  defaultRekey,
  type TransportOptions,
} from './transport-options.js';

/** More unsent bytes than this, and the other side is paused. */
const congestionBytes = 1024 * 1024;
/** More than relayed data can make of it: what waits are answers. */
const floodBytes = 8 * congestionBytes;
/** A key exchange that takes longer than this ends the connection, ms. */
const keyExchangeDeadlineMs = 60_000;
/** How long a peer has to take the last message before the socket is destroyed, ms. */
const lingerMs = 1000;

type Handler = (payload: Buffer) => void;

export class SshTransport {
  /** Called when waiting bytes have gone and `congested` is false again. */
  onDrain: (() => void) | undefined;
  /** Called around each chunk read, so that a relay can cork the other leg. */
  onChunk: { before(): void; after(): void } | undefined;
  /** What the last key exchange came to; known once `ready()` has resolved. */
  negotiated: Protocol.Negotiated | undefined;
  /** Resolves when the connection has ended, whoever ended it. Never rejects. */
  readonly ended: Promise<TransportEnd>;
  /** Resolves when the socket is closed, at most a second after the end. Never rejects. */
  readonly closed: Promise<void>;

  private readonly socket: Duplex;
  private readonly protocol: Protocol;
  private readonly dispatchKeyExchange: Handler;
  private readonly rekeyAfter: { readonly bytes: number; readonly ms: number };
  private endState: TransportEnd | undefined;
  private resolveEnded: (end: TransportEnd) => void = () => undefined;
  private resolveReady: () => void = () => undefined;
  private readonly readyPromise: Promise<void>;
  private established = false;
  private authenticated = false;
  private readonly inbox = new Inbox();
  private handler: Handler | undefined;
  private outbox: Buffer[] = [];
  private outboxBytes = 0;
  private exchangeTimer: NodeJS.Timeout | undefined;
  private bytesSinceRekey = 0;
  private lastRekeyMs = performance.now();
  private paused = false;
  private chunks = 0;
  private isBusy = false;
  private readonly deferred: Buffer[] = [];

  constructor(options: TransportOptions) {
    this.socket = options.socket;
    this.rekeyAfter = options.rekey ?? defaultRekey;
    this.ended = new Promise((resolve) => (this.resolveEnded = resolve));
    this.readyPromise = new Promise((resolve) => (this.resolveReady = resolve));
    this.closed = new Promise((resolve) => {
      options.socket.once('close', () => resolve());
    });
    this.protocol = new Protocol({
      server: options.client === undefined,
      ident: 'Gatehouse',
      offer: createOffer(options),
      hostKeys: options.hostKeys ?? {},
      ...(options.client && { hostVerifier: createVerifier(options.client) }),
      onWrite: (data) => this.write(data),
      onError: (error) => this.end({ by: 'us', error, text: error.message }),
      onHeader: (header) => {
        // ssh2 sends its KEXINIT right after this call.
        const { software } = header.versions;
        this.protocol._offer = createOfferFor(options, software) ?? this.protocol._offer;
      },
      onHandshakeComplete: (negotiated) => this.onKeys(negotiated),
      // Only during a key exchange; at other times it comes by way of `onPayload`.
      messageHandlers: { DISCONNECT: (_protocol, _reason, text) => this.end({ by: 'peer', text }) },
    });
    this.protocol.disconnect = (reason, text) => this.sendDisconnect(reason, disconnectText(text));
    this.dispatchKeyExchange = this.protocol._onPayload;
    this.protocol._onPayload = (payload) => this.onPayload(payload);
    this.listen();
    this.guard(() => this.protocol.start());
  }

  /** Resolves when the first key exchange is done. @throws how the connection ended, when it did */
  async ready(): Promise<void> {
    await Promise.race([this.readyPromise, this.ended]);
    if (this.endState !== undefined) throw endError(this.endState);
  }

  /** How it ended; undefined while it lives. */
  get endedWith(): TransportEnd | undefined {
    return this.endState;
  }

  /** Hash of the first key exchange (RFC 4253 §7.2); known once `ready()` has resolved. */
  get sessionId(): Buffer {
    return this.protocol._kex?.sessionID ?? Buffer.alloc(0);
  }

  get strictKeyExchange(): boolean {
    return this.protocol._strictMode === true;
  }

  /** True between the key exchange and `setAuthenticated`: a banner would be read (RFC 4252 §5.4). */
  get isAwaitingAuthentication(): boolean {
    return this.established && !this.authenticated;
  }

  /** True while more than 1 MiB waits to be written, or a key exchange holds back as much. */
  get congested(): boolean {
    return this.socket.writableLength + this.outboxBytes > congestionBytes;
  }

  /** True while several MiB wait: a peer that asks and asks without reading the answers. */
  get flooded(): boolean {
    return this.socket.writableLength + this.outboxBytes > floodBytes;
  }

  /** From here on keys are renewed by bytes and time; before, OpenSSH takes a key exchange as an error. */
  setAuthenticated(): void {
    this.authenticated = true;
    this.protocol._authenticated = true;
  }

  /** Sends one message; `payload` may be reused by the caller at once. */
  send(payload: Uint8Array): void {
    if (this.endState !== undefined) return;
    if (!this.hasKeys) {
      this.outbox.push(Buffer.from(payload));
      this.outboxBytes += payload.length;
      return;
    }
    this.sendNow(payload);
    this.countForRekey(payload.length);
  }

  /** Asks for new keys now. */
  rekey(): void {
    if (!this.established || this.endState !== undefined) return;
    this.bytesSinceRekey = 0;
    this.lastRekeyMs = performance.now();
    this.startExchangeTimer();
    this.guard(() => this.protocol.rekey());
  }

  /** The next message, a copy. @throws when the connection ends or `signal` aborts first */
  async read(signal?: AbortSignal): Promise<Buffer> {
    for (;;) {
      const message = this.inbox.take();
      if (message !== undefined) {
        if (this.paused && !this.inbox.isFull) this.resume();
        return message;
      }
      if (this.endState !== undefined) throw endError(this.endState);
      await this.inbox.wait(this.ended, signal);
    }
  }

  /** From here on messages go to `handler` as they come; it sees those first that wait already. */
  stream(handler: Handler): void {
    this.handler = handler;
    for (const message of this.inbox.drain()) handler(message);
    this.resume();
  }

  pause(): void {
    this.paused = true;
    this.socket.pause();
  }

  resume(): void {
    this.paused = false;
    if (this.endState === undefined) this.socket.resume();
  }

  get isPaused(): boolean {
    return this.paused;
  }

  /** Grows with whatever arrives: a peer that is silent shows by its not growing. */
  get chunksReceived(): number {
    return this.chunks;
  }

  cork(): void {
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
  }

  /** Answers a message of unknown type (RFC 4253 §11.4). Only from within the handler of that message. */
  sendUnimplemented(): void {
    const sequence = ((this.protocol._decipher?.inSeqno ?? 1) - 1) >>> 0;
    this.send(encodeMessage(messageType.unimplemented, sequence));
  }

  /** Ends the connection without a word, for a peer that no longer answers. */
  drop(why: string): void {
    this.end({ by: 'us', error: new Error(why), text: why });
  }

  /** Ends the connection and says why; the socket is closed within a second. */
  disconnect(reason: number, text: string): void {
    if (this.endState !== undefined) return;
    this.sendDisconnect(reason, text);
    this.end({ by: 'us', text });
  }

  /** False during each key exchange: ssh2 keeps views of what it reads then. */
  private get hasKeys(): boolean {
    return this.established && this.protocol._kexinit === undefined;
  }

  private listen(): void {
    onSharedChunks(this.socket, (chunk) => this.onData(this.hasKeys ? chunk : Buffer.from(chunk)));
    this.socket.on('drain', () => this.drained());
    this.socket.on('error', (error: Error) => this.end({ by: 'peer', error }));
    this.socket.on('end', () => this.end({ by: 'peer' }));
    this.socket.on('close', () => this.end({ by: 'peer' }));
    // A stream that was looked at before comes paused (the port, a hop).
    this.socket.resume();
  }

  private onData(chunk: Buffer): void {
    if (this.endState !== undefined) return;
    this.chunks += 1;
    if (this.isBusy || this.deferred.length > 0) this.deferred.push(Buffer.from(chunk));
    else this.guard(() => this.parse(chunk));
  }

  private parse(chunk: Buffer): void {
    this.onChunk?.before();
    try {
      this.protocol.parse(chunk, 0, chunk.length);
    } catch (thrown) {
      this.fail(thrown);
    } finally {
      this.onChunk?.after();
    }
  }

  /**
   * ssh2 must not be entered twice, but an in-process stream answers while it is being written to. What arrives during
   * `work` waits until it is done.
   */
  private guard(work: () => void): void {
    const wasBusy = this.isBusy;
    this.isBusy = true;
    try {
      work();
    } finally {
      this.isBusy = wasBusy;
    }
    if (!wasBusy && this.deferred.length > 0) queueMicrotask(() => this.parseDeferred());
  }

  private parseDeferred(): void {
    if (this.isBusy) return;
    const chunk = this.deferred.shift();
    if (chunk === undefined || this.endState !== undefined) return;
    this.guard(() => this.parse(chunk));
  }

  private fail(thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    if (this.endState !== undefined) return;
    this.sendDisconnect(disconnectReason.protocolError, 'protocol error');
    this.end({ by: 'us', error });
  }

  private onPayload(payload: Buffer): unknown {
    if (this.endState !== undefined) return Infinity;
    const type = payload[0] ?? 0;
    if (type >= 20 && type < 50) {
      this.startExchangeTimer();
      return this.dispatchKeyExchange(Buffer.from(payload));
    }
    if (type === messageType.disconnect) this.onDisconnect(payload);
    else if (type >= messageType.serviceRequest && type !== messageType.extInfo)
      this.deliver(payload);
    return this.endedWith === undefined ? undefined : Infinity;
  }

  private deliver(payload: Buffer): void {
    this.countForRekey(payload.length);
    if (this.handler !== undefined) {
      this.handler(payload);
      return;
    }
    this.inbox.push(Buffer.from(payload));
    if (this.inbox.isFull) this.pause();
  }

  private onDisconnect(payload: Buffer): void {
    const reader = new WireReader(payload, 5);
    this.end({ by: 'peer', text: reader.text(65_536) });
  }

  private onKeys(negotiated: Protocol.Negotiated): void {
    this.established = true;
    this.negotiated = negotiated;
    this.bytesSinceRekey = 0;
    this.lastRekeyMs = performance.now();
    clearTimeout(this.exchangeTimer);
    this.exchangeTimer = undefined;
    const waiting = this.outbox;
    this.outbox = [];
    this.outboxBytes = 0;
    for (const payload of waiting) this.sendNow(payload);
    this.resolveReady();
    this.drained();
  }

  private sendNow(payload: Uint8Array): void {
    const writer = this.protocol._packetRW.write;
    const packet = writer.alloc(payload.length);
    packet.set(payload, writer.allocStart);
    this.encrypt(writer.finalize(packet));
  }

  private sendDisconnect(reason: number, text: string): void {
    if (this.endState !== undefined) return;
    const payload = encodeMessage(messageType.disconnect, reason, text, '');
    const writer = this.protocol._packetRW.write;
    const packet = writer.alloc(payload.length, true);
    packet.set(payload, writer.allocStartKEX);
    this.encrypt(writer.finalize(packet, true));
  }

  private encrypt(packet: Buffer): void {
    const wasBusy = this.isBusy;
    this.isBusy = true;
    this.protocol._cipher.encrypt(packet);
    this.isBusy = wasBusy;
    if (!wasBusy && this.deferred.length > 0) queueMicrotask(() => this.parseDeferred());
  }

  private countForRekey(bytes: number): void {
    this.bytesSinceRekey += bytes;
    if (!this.authenticated || this.protocol._kexinit !== undefined) return;
    const due =
      this.bytesSinceRekey > this.rekeyAfter.bytes ||
      performance.now() - this.lastRekeyMs > this.rekeyAfter.ms;
    if (due) this.rekey();
  }

  private startExchangeTimer(): void {
    if (this.exchangeTimer !== undefined || !this.established) return;
    this.exchangeTimer = setTimeout(() => {
      this.fail(new Error('the key exchange took too long'));
    }, keyExchangeDeadlineMs);
    this.exchangeTimer.unref();
  }

  private write(data: Buffer): void {
    if (this.socket.writable) this.socket.write(data);
  }

  private drained(): void {
    if (!this.congested) this.onDrain?.();
  }

  private end(end: TransportEnd): void {
    if (this.endState !== undefined) return;
    this.endState = end;
    clearTimeout(this.exchangeTimer);
    this.outbox = [];
    this.outboxBytes = 0;
    this.socket.resume();
    this.socket.end();
    const linger = setTimeout(() => this.socket.destroy(), lingerMs);
    this.socket.once('close', () => {
      clearTimeout(linger);
    });
    setImmediate(() => this.protocol.cleanup());
    this.resolveEnded(end);
  }
}
