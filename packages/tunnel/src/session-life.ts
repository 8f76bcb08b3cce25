/** How a tunnel's HTTP/2 session ends, the same at both ends: by itself, by silence, by our word; always for good. */
import type { Http2Session } from 'node:http2';
import type { TLSSocket } from 'node:tls';

import { keepAlive } from './keep-alive.js';

/** Why a tunnel ended: `ping`: no answer; `left`: the other end closed it; `broken`: its socket failed; `closed`: by us. */
export interface TunnelEnd {
  readonly reason: 'ping' | 'left' | 'broken' | 'closed';
  readonly error?: Error;
}

/** What a farewell may take before the socket is destroyed. */
const farewellMs = 500;

export class SessionLife {
  /** Resolves when it has ended; never rejects. */
  readonly closed: Promise<TunnelEnd>;
  readonly #session: Http2Session;
  readonly #socket: TLSSocket;
  #end: TunnelEnd | undefined;

  constructor(session: Http2Session, socket: TLSSocket, pingIntervalMs: number) {
    this.#session = session;
    this.#socket = socket;
    session.on('error', (error: Error) => {
      this.finish({ reason: 'broken', error });
    });
    socket.on('error', (error: Error) => {
      this.finish({ reason: 'broken', error });
    });
    // A process that is killed says FIN and nothing else; a half-open tunnel is of no use.
    socket.once('end', () => {
      this.finish({ reason: 'left' });
    });
    session.on('goaway', () => {
      this.finish({ reason: 'left' });
    });
    this.closed = new Promise((resolve) => {
      const onClose = () => {
        this.finish({ reason: 'left' });
        resolve(this.#end ?? { reason: 'left' });
      };
      session.once('close', onClose);
      socket.once('close', onClose);
    });
    keepAlive(session, pingIntervalMs, () => {
      this.finish({ reason: 'ping' });
    });
  }

  get isOpen(): boolean {
    return this.#end === undefined && !this.#session.destroyed && !this.#session.closed;
  }

  /** Ends it; only the first reason counts. node:http2 by itself would wait for a peer that may be gone. */
  finish(end: TunnelEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#session.destroy();
    const timer = setTimeout(() => this.#socket.destroy(), farewellMs);
    this.#socket.once('close', () => {
      clearTimeout(timer);
    });
  }
}
