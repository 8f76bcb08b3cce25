/** One channel of a connection that ends here (RFC 4254 §5), as a Duplex with stderr beside it. */
import { Duplex, Writable } from 'node:stream';

import { encodeMessage } from '../wire/codec.js';
import { messageType, stderrCode } from '../wire/message-types.js';

/** Window that each side's peer is given. */
export const channelWindowBytes = 2 * 1024 * 1024;
export const channelPacketBytes = 32_768;

type Callback = (error?: Error | null) => void;

interface Waiting {
  readonly isStderr: boolean;
  rest: Buffer;
  readonly callback: Callback;
}

export interface ChannelStreamOptions {
  readonly localId: number;
  readonly remoteId: number;
  readonly remoteWindow: number;
  readonly remoteMaxPacket: number;
  send(message: Buffer): void;
  /** True while the connection takes no more; `flush` is called when it does again. */
  isCongested(): boolean;
  onClosed(): void;
}

/**
 * Emits `hangup` as soon as the peer has closed the channel or is gone, and `close` once what it sent has been read too.
 * Reads and writes are bounded by both windows; a `write` calls back when the bytes have gone to the connection.
 * `end()` sends EOF and leaves the other direction open; `close()` ends both.
 */
export class ChannelStream extends Duplex {
  readonly localId: number;
  readonly remoteId: number;
  readonly stderr: Writable;
  private readonly options: ChannelStreamOptions;
  private readonly remoteMaxPacket: number;
  private remoteWindow: number;
  private localWindow = channelWindowBytes;
  private unacknowledged = 0;
  private waiting: Waiting[] = [];
  private hasSentClose = false;
  private hasReceivedClose = false;
  private hasReceivedEof = false;
  private hasSettled = false;
  private hasEmittedClose = false;

  constructor(options: ChannelStreamOptions) {
    super({ allowHalfOpen: true, autoDestroy: false, emitClose: false });
    this.options = options;
    this.localId = options.localId;
    this.remoteId = options.remoteId;
    this.remoteWindow = options.remoteWindow;
    this.remoteMaxPacket = Math.max(1, Math.min(options.remoteMaxPacket, channelPacketBytes));
    this.stderr = new Writable({
      write: (chunk: Buffer, _encoding, callback) => this.enqueue(true, chunk, callback),
    });
    // A failed write is reported to whoever wrote; nobody else has to listen.
    this.on('error', () => undefined);
    this.stderr.on('error', () => undefined);
  }

  /** We have closed it, or the connection has gone. */
  get isClosed(): boolean {
    return this.hasSentClose;
  }

  /** Sends a channel request, for example `exit-status`. */
  sendRequest(name: string, ...fields: readonly (number | string | boolean)[]): void {
    if (this.hasSentClose) return;
    this.options.send(
      encodeMessage(messageType.channelRequest, this.remoteId, name, false, ...fields),
    );
  }

  /** Closes both directions, after what is written already. */
  close(): void {
    if (this.hasSentClose) return;
    this.hasSentClose = true;
    this.options.send(encodeMessage(messageType.channelClose, this.remoteId));
    this.failWaiting();
    this.settle();
  }

  /** Bytes from the peer. @throws when the peer ignores the window */
  receive(data: Buffer): void {
    if (data.length > this.localWindow) throw new Error('the peer ignores the window of a channel');
    this.localWindow -= data.length;
    this.unacknowledged += data.length;
    if (this.hasReceivedEof) throw new Error('data behind the end of a channel');
    if (this.destroyed || this.hasSentClose || this.push(data)) this.acknowledge();
  }

  receiveEof(): void {
    if (this.hasReceivedEof) return;
    this.hasReceivedEof = true;
    this.push(null);
  }

  receiveClose(): void {
    this.hasReceivedClose = true;
    this.emit('hangup');
    this.receiveEof();
    this.close();
    this.settle();
  }

  receiveWindow(bytes: number): void {
    this.remoteWindow = Math.min(this.remoteWindow + bytes, 0xffff_ffff);
    this.flush();
  }

  /** Sends what waits, as far as the peer's window and the connection allow. */
  flush(): void {
    for (;;) {
      const first = this.waiting[0];
      if (first === undefined || this.remoteWindow === 0 || this.options.isCongested()) return;
      const part = first.rest.subarray(0, Math.min(this.remoteWindow, this.remoteMaxPacket));
      this.sendPart(first.isStderr, part);
      first.rest = first.rest.subarray(part.length);
      if (first.rest.length > 0) continue;
      this.waiting.shift();
      first.callback();
    }
  }

  /** The connection has gone. */
  abandon(): void {
    this.hasSentClose = true;
    this.hasReceivedClose = true;
    this.emit('hangup');
    this.failWaiting();
    this.receiveEof();
    this.settle();
  }

  override _read(): void {
    this.acknowledge();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.enqueue(false, chunk, callback);
  }

  override _final(callback: Callback): void {
    if (!this.hasSentClose) this.options.send(encodeMessage(messageType.channelEof, this.remoteId));
    callback();
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.close();
    callback(error);
    process.nextTick(() => this.emitClose());
  }

  private enqueue(isStderr: boolean, chunk: Buffer, callback: Callback): void {
    if (this.hasSentClose) {
      callback(new Error('the channel is closed'));
      return;
    }
    if (chunk.length === 0) {
      callback();
      return;
    }
    this.waiting.push({ isStderr, rest: chunk, callback });
    this.flush();
  }

  private sendPart(isStderr: boolean, part: Buffer): void {
    this.remoteWindow -= part.length;
    this.options.send(
      isStderr
        ? encodeMessage(messageType.channelExtendedData, this.remoteId, stderrCode, part)
        : encodeMessage(messageType.channelData, this.remoteId, part),
    );
  }

  private acknowledge(): void {
    if (this.unacknowledged < channelWindowBytes / 4 || this.hasSentClose) return;
    this.options.send(
      encodeMessage(messageType.channelWindowAdjust, this.remoteId, this.unacknowledged),
    );
    this.localWindow += this.unacknowledged;
    this.unacknowledged = 0;
  }

  private failWaiting(): void {
    for (const entry of this.waiting.splice(0)) entry.callback(new Error('the channel is closed'));
  }

  private settle(): void {
    if (this.hasSettled || !this.hasSentClose || !this.hasReceivedClose) return;
    this.hasSettled = true;
    this.options.onClosed();
    // What was received before the end is still read.
    if (this.readableLength === 0 || this.destroyed) this.emitClose();
    else this.once('end', () => this.emitClose());
  }

  private emitClose(): void {
    if (this.hasEmittedClose) return;
    this.hasEmittedClose = true;
    this.emit('close');
  }
}
