/**
 * HTTP/2 settings of both ends of a tunnel.
 *
 * Windows: what a stream may have in flight bounds both its speed over a long way and the memory of a stalled reader
 * (one window per stalled stream); the connection's window must not be smaller than what all of them need together.
 * Resets: nghttp2 ends a whole connection after 1,000 resets in a burst; here one person's aborted connections would end
 * everybody's, so the agent's side, where that guard lies, allows far more. The cap on streams is the bound instead.
 */
import type { SecureClientSessionOptions, ServerOptions } from 'node:http2';

/** The ALPN label of tunnels. */
export const tunnelAlpn = 'gatehouse-tunnel';

export interface TunnelLimits {
  /** Connections through one tunnel at a time. */
  readonly maxStreams: number;
  /** Bytes in flight per stream and direction. */
  readonly streamWindowBytes: number;
  /** Bytes in flight per tunnel and direction. */
  readonly connectionWindowBytes: number;
  /** A dead tunnel is found after three of them at the latest: two pings without an answer. */
  readonly pingIntervalMs: number;
  /** TLS done to first control message. */
  readonly handshakeTimeoutMs: number;
  /** A dial to its answer, over all; targets' own deadlines are shorter. */
  readonly openTimeoutMs: number;
}

export const defaultLimits: TunnelLimits = {
  maxStreams: 2_000,
  streamWindowBytes: 1 << 20,
  connectionWindowBytes: 16 << 20,
  pingIntervalMs: 9_000,
  handshakeTimeoutMs: 10_000,
  openTimeoutMs: 15_000,
};

/** Options for `http2.connect` and `http2.performServerHandshake`. */
export function http2Options(limits: TunnelLimits): SecureClientSessionOptions & ServerOptions {
  return {
    // MB. The default of 10 is less than a few stalled windows.
    maxSessionMemory: 1000,
    // One stream more than counted: the control stream; the rest so that our own count refuses, with words.
    peerMaxConcurrentStreams: limits.maxStreams + 100,
    maxSessionRejectedStreams: 100_000,
    maxSessionInvalidFrames: 1000,
    streamResetBurst: 1_000_000,
    streamResetRate: 1_000_000,
    settings: {
      enablePush: false,
      initialWindowSize: limits.streamWindowBytes,
      maxConcurrentStreams: limits.maxStreams + 100,
    },
  };
}

export const headerNames = {
  grant: 'x-gatehouse-grant',
  session: 'x-gatehouse-session',
  traceparent: 'traceparent',
  reason: 'x-gatehouse-reason',
  message: 'x-gatehouse-message',
} as const;

/** `:authority` of the two kinds of streams. */
export const authorities = { control: 'control', dial: 'dial' } as const;
