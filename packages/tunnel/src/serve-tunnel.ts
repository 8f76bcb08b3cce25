/** The agent's end of a tunnel: it dialled out, and now serves the connections that come back through that socket. */
import {
  performServerHandshake,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

import { AgentMessage, ServiceMessage } from '@gatehouse/proto/tunnel/v1/control';

import { createControlChannel, type ControlChannel } from './control-channel.js';
import { dialError, tunnelError, type DialReason } from './errors.js';
import { SessionLife, type TunnelEnd } from './session-life.js';
import {
  authorities,
  defaultLimits,
  headerNames,
  http2Options,
  type TunnelLimits,
} from './session-options.js';
import { adoptStream, lossReason, resetStream } from './streams.js';

/** A connection that the other end wants; accept or refuse it once. */
export interface IncomingDial {
  readonly grant: string;
  readonly sessionId: string;
  readonly traceparent: string | undefined;
  /** Aborts when the other end gives up before an answer. */
  readonly signal: AbortSignal;
  /** Says that the target is connected and gives the stream to join it with. @throws closed, when the dialler is gone */
  accept(): Duplex;
  /** Says no. `message` goes to the dialler's log, at most 500 characters. */
  refuse(reason: DialReason, message?: string): void;
}

export interface ServedTunnel {
  /** Resolves with the control channel once the other end has opened it. @throws TUNNEL_HANDSHAKE */
  readonly control: Promise<ControlChannel<ServiceMessage, AgentMessage>>;
  readonly streamCount: number;
  close(): void;
  /** Resolves once it has ended; never rejects. */
  readonly closed: Promise<TunnelEnd>;
}

/** Takes a TLS connection to a tunnel-service (handshake done, certificate checked) and ownership of the socket. */
export function serveTunnel(
  socket: TLSSocket,
  onDial: (dial: IncomingDial) => void,
  limits: Partial<TunnelLimits> = {},
): ServedTunnel {
  const all = { ...defaultLimits, ...limits };
  socket.setNoDelay(true);
  const session = performServerHandshake(socket, http2Options(all));
  setImmediate(() => {
    if (!session.destroyed) session.setLocalWindowSize(all.connectionWindowBytes);
  });
  return new AgentTunnel(session, { socket, onDial, limits: all });
}

interface AgentTunnelOptions {
  readonly socket: TLSSocket;
  readonly onDial: (dial: IncomingDial) => void;
  readonly limits: TunnelLimits;
}

class AgentTunnel implements ServedTunnel {
  readonly control: ServedTunnel['control'];
  readonly #life: SessionLife;
  readonly #options: AgentTunnelOptions;
  readonly #openedControl = Promise.withResolvers<ControlChannel<ServiceMessage, AgentMessage>>();
  #hasControl = false;
  #streamCount = 0;

  constructor(session: ServerHttp2Session, options: AgentTunnelOptions) {
    const { socket, limits } = options;
    this.#options = options;
    this.#life = new SessionLife(session, socket, limits.pingIntervalMs);
    this.control = this.#openedControl.promise;
    // Who does not wait for it hears of its failure by `closed`.
    this.control.catch(() => undefined);
    session.on('stream', (stream, headers) => {
      this.#onStream(stream, headers);
    });
    const timer = setTimeout(() => {
      if (!this.#hasControl) this.#life.finish({ reason: 'broken' });
    }, limits.handshakeTimeoutMs);
    session.once('close', () => {
      clearTimeout(timer);
      const details = { why: 'it closed first' };
      this.#openedControl.reject(tunnelError('TUNNEL_HANDSHAKE', { details }));
    });
  }

  get closed(): Promise<TunnelEnd> {
    return this.#life.closed;
  }

  get streamCount(): number {
    return this.#streamCount;
  }

  close(): void {
    this.#life.finish({ reason: 'closed' });
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    adoptStream(stream);
    const authority = headers[':authority'];
    if (headers[':method'] === 'CONNECT' && authority === authorities.control && !this.#hasControl)
      this.#startControl(stream);
    else if (headers[':method'] === 'CONNECT' && authority === authorities.dial)
      this.#startDial(stream, headers);
    else respondRefusal(stream, 'closed', 'unknown request');
  }

  #startControl(stream: ServerHttp2Stream): void {
    this.#hasControl = true;
    stream.respond({ ':status': 200 });
    stream.once('close', () => {
      this.#life.finish({ reason: 'left' });
    });
    const codecs = { incoming: ServiceMessage, outgoing: AgentMessage };
    this.#openedControl.resolve(createControlChannel(stream, codecs));
  }

  #startDial(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    if (this.#streamCount >= this.#options.limits.maxStreams) {
      respondRefusal(stream, 'busy', '');
      return;
    }
    this.#streamCount += 1;
    stream.once('close', () => {
      this.#streamCount -= 1;
    });
    this.#options.onDial(createIncomingDial(stream, headers));
  }
}

function createIncomingDial(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): IncomingDial {
  const abort = new AbortController();
  let isAnswered = false;
  const onClose = () => {
    abort.abort(dialError(lossReason(stream)));
  };
  stream.once('close', onClose);
  const answer = () => {
    if (isAnswered) throw new Error('a dial is answered once');
    isAnswered = true;
    stream.off('close', onClose);
  };
  return {
    grant: headerText(headers[headerNames.grant]) ?? '',
    sessionId: headerText(headers[headerNames.session]) ?? '',
    traceparent: headerText(headers[headerNames.traceparent]),
    signal: abort.signal,
    accept() {
      answer();
      if (stream.destroyed || stream.closed) throw dialError(lossReason(stream));
      stream.respond({ ':status': 200 });
      return stream;
    },
    refuse(reason, message = '') {
      answer();
      respondRefusal(stream, reason, message);
    },
  };
}

function headerText(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function respondRefusal(stream: ServerHttp2Stream, reason: DialReason, message: string): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond(
    {
      ':status': reason === 'not_allowed_by_agent' ? 403 : 502,
      [headerNames.reason]: reason,
      [headerNames.message]: encodeURIComponent(message.toWellFormed().slice(0, 500)),
    },
    { endStream: true },
  );
  // The dialler answers with a reset; one that does not must not hold the stream.
  setTimeout(() => {
    resetStream(stream, reason);
  }, 5_000).unref();
}
