/**
 * A connection inside a gRPC stream, the same at both ends. A gRPC server can't half-close, and cancelled streams count
 * against the whole connection (nghttp2's rapid-reset guard), so ends and resets are frames, and a call always ends in
 * order: each side ends its half of the call once both directions are done or a reset was said or heard.
 */
import { Duplex } from 'node:stream';

import { GatehouseError } from '@gatehouse/kit/errors';

import { dialError, parseDialReason, type DialReason } from '../errors.js';
import { maxDataBytes, type HopFrame } from './frames.js';

/** What is used of a grpc-js call of either side. */
export interface HopCall {
  write(frame: HopFrame, callback: (error?: Error | null) => void): boolean;
  end(): unknown;
  pause(): unknown;
  resume(): unknown;
  on(event: 'data', listener: (frame: HopFrame) => void): unknown;
  on(event: 'end' | 'cancelled' | 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

export interface HopStreamOptions {
  readonly side: 'proxy' | 'replica';
  /** What it means when the call breaks: tunnel_lost at the proxy, closed at the tunnel replica. */
  readonly lossReason: DialReason;
  /** Called with the first frame when it is `open` or `opened`. */
  onOpen(frame: Extract<HopFrame, { kind: 'open' | 'opened' }>): void;
}

export class HopStream extends Duplex {
  readonly #call: HopCall;
  readonly #options: HopStreamOptions;
  #isOpen = false;
  #hasSentEnd = false;
  #hasHeardEnd = false;
  #isCallEnded = false;
  #isCallOver = false;

  constructor(call: HopCall, options: HopStreamOptions) {
    super({ readableHighWaterMark: maxDataBytes, writableHighWaterMark: maxDataBytes });
    this.#call = call;
    this.#options = options;
    // A destroyed stream's error has nowhere else to go; who uses the stream adds a listener of their own.
    this.on('error', () => undefined);
    call.on('data', (frame) => {
      this.#onFrame(frame);
    });
    call.on('error', (error) => {
      this.#onCallOver(dialError(options.lossReason, { cause: error }));
    });
    call.on('cancelled', () => {
      this.#onCallOver(dialError(options.lossReason));
    });
    call.on('end', () => {
      // A client that has said its end may end its half of the call early; a server's end is the end of the call.
      if (options.side === 'proxy' || !this.#hasHeardEnd)
        this.#onCallOver(dialError(options.lossReason));
    });
  }

  /** True once the call needs nothing more from either side. */
  get isCallOver(): boolean {
    return this.#isCallOver;
  }

  /** Sends the first frame. */
  sendOpen(frame: Extract<HopFrame, { kind: 'open' | 'opened' }>): void {
    this.#send(frame);
  }

  override _read(): void {
    this.#call.resume();
  }

  override _write(
    chunk: Buffer,
    _encoding: string,
    callback: (error?: Error | null) => void,
  ): void {
    this.#sendData([chunk], callback);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#sendData(
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#hasSentEnd = true;
    this.#call.write({ kind: 'end' }, (error) => {
      callback(error);
      this.#endCallWhenDone();
    });
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#isCallEnded) {
      if (!(this.#hasSentEnd && this.#hasHeardEnd)) this.#sendReset(error);
      this.#endCall();
    }
    // What still arrives is dropped, so that the call can end.
    this.#call.resume();
    callback(error);
  }

  #onFrame(frame: HopFrame): void {
    if (this.destroyed) return;
    switch (frame.kind) {
      case 'open':
      case 'opened':
        this.#onOpenFrame(frame);
        return;
      case 'data':
        if (!this.#hasHeardEnd)
          for (const part of frame.parts) if (!this.push(part)) this.#call.pause();
        return;
      case 'end':
        this.#onEndFrame();
        return;
      case 'reset':
        this.#endCall();
        this.destroy(dialError(parseDialReason(frame.reason), textOf(frame.message)));
        return;
    }
  }

  #onOpenFrame(frame: Extract<HopFrame, { kind: 'open' | 'opened' }>): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#options.onOpen(frame);
  }

  #onEndFrame(): void {
    if (this.#hasHeardEnd) return;
    this.#hasHeardEnd = true;
    this.push(null);
    this.#endCallWhenDone();
  }

  #onCallOver(error: Error): void {
    this.#isCallOver = true;
    this.#isCallEnded = true;
    this.#call.end();
    if (!(this.#hasSentEnd && this.#hasHeardEnd)) this.destroy(error);
  }

  /** Sends parts in frames of at most 256 KiB, one after the other: the next when the last has left. */
  #sendData(parts: readonly Buffer[], callback: (error?: Error | null) => void): void {
    const frames = packParts(parts);
    const next = (error?: Error | null): void => {
      const frame = frames.shift();
      if (error || frame === undefined) callback(error);
      else this.#call.write({ kind: 'data', parts: frame }, next);
    };
    next();
  }

  #sendReset(error: Error | null): void {
    const reason = error instanceof GatehouseError ? parseDialReason(error.reason) : 'closed';
    this.#send({ kind: 'reset', reason, message: (error?.message ?? '').slice(0, 500) });
  }

  #send(frame: HopFrame): void {
    this.#call.write(frame, () => undefined);
  }

  #endCallWhenDone(): void {
    if (this.#hasSentEnd && this.#hasHeardEnd) this.#endCall();
  }

  #endCall(): void {
    if (this.#isCallEnded) return;
    this.#isCallEnded = true;
    this.#call.end();
  }
}

function textOf(message: string): { message?: string } {
  return message === '' ? {} : { message };
}

function packParts(parts: readonly Buffer[]): Buffer[][] {
  const frames: Buffer[][] = [];
  let frame: Buffer[] = [];
  let room = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length;) {
      if (room === 0) {
        frame = [];
        frames.push(frame);
        room = maxDataBytes;
      }
      const piece = part.subarray(at, at + room);
      frame.push(piece);
      at += piece.length;
      room -= piece.length;
    }
  }
  return frames;
}
