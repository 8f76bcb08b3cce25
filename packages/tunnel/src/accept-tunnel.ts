/**
 * The service's end of a tunnel. An agent dialled us; from here on the roles are reversed: we are the HTTP/2 client and
 * open one CONNECT stream per connection towards it, and one more for control.
 */
import { once } from 'node:events';
import {
  connect,
  sensitiveHeaders,
  type ClientHttp2Session,
  type ClientHttp2Stream,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

import { AgentMessage, ServiceMessage } from '@gatehouse/proto/tunnel/v1/control';

import { createControlChannel, type ControlChannel } from './control-channel.js';
import { dialError, parseDialReason, tunnelError } from './errors.js';
import { SessionLife, type TunnelEnd } from './session-life.js';
import {
  authorities,
  defaultLimits,
  headerNames,
  http2Options,
  type TunnelLimits,
} from './session-options.js';
import { adoptStream, lossReason, resetStream } from './streams.js';

/** What to open through a tunnel. */
export interface TunnelDial {
  /** Compact JWS, checked by the agent. */
  readonly grant: string;
  readonly sessionId: string;
  readonly traceparent?: string;
  readonly signal?: AbortSignal;
}

export interface AcceptedTunnel {
  readonly control: ControlChannel<AgentMessage, ServiceMessage>;
  /** Connections that are open now. */
  readonly streamCount: number;
  /**
   * Opens a connection. The stream half-closes both ways; its `close` without `end` is a loss, see `lossReason`.
   * @throws with the reason of the agent's refusal, or agent_lost, busy, timed_out
   */
  open(dial: TunnelDial): Promise<Duplex>;
  /** Ends it with all its connections. */
  close(): void;
  /** Resolves once it has ended; never rejects. */
  readonly closed: Promise<TunnelEnd>;
}

/**
 * Takes an agent's TLS connection (handshake done, certificate checked) and ownership of the socket.
 * @throws TUNNEL_HANDSHAKE when the other end does not speak the protocol in time
 */
export async function acceptTunnel(
  socket: TLSSocket,
  limits: Partial<TunnelLimits> = {},
): Promise<AcceptedTunnel> {
  const all = { ...defaultLimits, ...limits };
  socket.setNoDelay(true);
  const session = connect('https://agent', {
    ...http2Options(all),
    createConnection: () => socket,
  });
  const tunnel = new ServiceTunnel(session, socket, all);
  try {
    await once(session, 'remoteSettings', {
      signal: AbortSignal.timeout(all.handshakeTimeoutMs),
    });
    session.setLocalWindowSize(all.connectionWindowBytes);
    await tunnel.openControl();
    return tunnel;
  } catch (cause) {
    tunnel.close();
    throw tunnelError('TUNNEL_HANDSHAKE', { cause, details: { why: 'no answer as expected' } });
  }
}

class ServiceTunnel implements AcceptedTunnel {
  readonly #session: ClientHttp2Session;
  readonly #life: SessionLife;
  readonly #limits: TunnelLimits;
  #control: ControlChannel<AgentMessage, ServiceMessage> | undefined;
  #streamCount = 0;

  constructor(session: ClientHttp2Session, socket: TLSSocket, limits: TunnelLimits) {
    this.#session = session;
    this.#limits = limits;
    this.#life = new SessionLife(session, socket, limits.pingIntervalMs);
  }

  get closed(): Promise<TunnelEnd> {
    return this.#life.closed;
  }

  get control(): ControlChannel<AgentMessage, ServiceMessage> {
    if (this.#control === undefined) throw new Error('the control stream is not open');
    return this.#control;
  }

  get streamCount(): number {
    return this.#streamCount;
  }

  async openControl(): Promise<void> {
    const stream = this.#session.request({
      ':method': 'CONNECT',
      ':authority': authorities.control,
    });
    adoptStream(stream);
    stream.once('close', () => {
      this.#life.finish({ reason: 'left' });
    });
    await waitForAnswer(stream, { timeoutMs: this.#limits.handshakeTimeoutMs });
    const codecs = { incoming: AgentMessage, outgoing: ServiceMessage };
    this.#control = createControlChannel(stream, codecs);
  }

  async open(dial: TunnelDial): Promise<Duplex> {
    if (!this.#life.isOpen) throw dialError('agent_lost');
    if (this.#streamCount >= this.#limits.maxStreams) throw dialError('busy');
    dial.signal?.throwIfAborted();
    const stream = this.#session.request({
      ':method': 'CONNECT',
      ':authority': authorities.dial,
      [headerNames.grant]: dial.grant,
      [headerNames.session]: dial.sessionId,
      ...(dial.traceparent === undefined ? {} : { [headerNames.traceparent]: dial.traceparent }),
      // Neither compressed across streams nor kept in the table of headers.
      [sensitiveHeaders]: [headerNames.grant],
    });
    adoptStream(stream);
    this.#streamCount += 1;
    stream.once('close', () => {
      this.#streamCount -= 1;
    });
    await waitForAnswer(stream, {
      timeoutMs: this.#limits.openTimeoutMs,
      ...(dial.signal ? { signal: dial.signal } : {}),
    });
    return stream;
  }

  close(): void {
    this.#life.finish({ reason: 'closed' });
  }
}

interface AnswerOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Waits for the agent's 200; on any other outcome the stream is given up. */
async function waitForAnswer(stream: ClientHttp2Stream, options: AnswerOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const onAbort = () => {
    const reason: unknown = options.signal?.reason;
    reject(reason instanceof Error ? reason : dialError('closed'));
  };
  const onClose = () => {
    reject(dialError(lossReason(stream)));
  };
  const timer = setTimeout(() => {
    reject(dialError('timed_out'));
  }, options.timeoutMs);
  options.signal?.addEventListener('abort', onAbort, { once: true });
  stream.once('close', onClose);
  stream.once('response', (headers) => {
    if (headers[':status'] === 200) resolve(undefined);
    else reject(refusalOf(headers));
  });
  try {
    await promise;
  } catch (thrown) {
    stream.resume();
    resetStream(stream, 'closed');
    throw thrown;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', onAbort);
    stream.off('close', onClose);
  }
}

function refusalOf(headers: Readonly<Record<string, unknown>>): Error {
  const reason = headers[headerNames.reason];
  const message = headers[headerNames.message];
  return dialError(
    parseDialReason(typeof reason === 'string' ? reason : undefined),
    typeof message === 'string' ? { message: decodeHeaderText(message) } : {},
  );
}

function decodeHeaderText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}
