/** Two connections become one: every byte goes across both ways, and so does every end. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

/** How a pair of joined streams ended. */
export interface JoinResult {
  /** `ended`: both directions ran to their ends; `broken`: one side went away before that. */
  readonly outcome: 'ended' | 'broken';
  /** The side that ended or broke first: the first or the second argument. */
  readonly side: 'a' | 'b';
  readonly error?: Error;
}

export interface JoinOptions {
  /** How long bytes already taken from a side that is gone may still drain into the other. Default 10 s. */
  readonly lingerMs?: number;
  /** Destroys `other` because `broken` broke. Default: a reset for a TCP socket, an error for any other stream. */
  readonly breakStream?: (other: Duplex, broken: Duplex, error: Error | undefined) => void;
}

/**
 * Pipes `a` and `b` into each other with back-pressure and half-close (both need `allowHalfOpen`) and takes ownership of
 * both. When one breaks, the other is destroyed with an error, so that it is never taken for an orderly end, after what
 * was read to its end has drained. Resolves when both are closed; never rejects.
 */
export async function joinStreams(
  a: Duplex,
  b: Duplex,
  options: JoinOptions = {},
): Promise<JoinResult> {
  return new Promise((resolve) => {
    const state: JoinState = { open: 2, first: undefined, error: undefined, isBroken: false };
    const { lingerMs = 10_000, breakStream = breakPlainly } = options;
    const onClosed = () => {
      state.open -= 1;
      if (state.open > 0) return;
      const outcome = state.isBroken ? 'broken' : 'ended';
      resolve({
        outcome,
        side: state.first ?? 'a',
        ...(state.error ? { error: state.error } : {}),
      });
    };
    watchSide({ name: 'a', stream: a, other: b, state, lingerMs, breakStream, onClosed });
    watchSide({ name: 'b', stream: b, other: a, state, lingerMs, breakStream, onClosed });
    if (!a.destroyed && !b.destroyed) {
      a.pipe(b);
      b.pipe(a);
    }
  });
}

interface JoinState {
  open: number;
  first: 'a' | 'b' | undefined;
  error: Error | undefined;
  isBroken: boolean;
}

interface Side {
  readonly name: 'a' | 'b';
  readonly stream: Duplex;
  readonly other: Duplex;
  readonly state: JoinState;
  readonly lingerMs: number;
  readonly breakStream: NonNullable<JoinOptions['breakStream']>;
  readonly onClosed: () => void;
}

function watchSide(side: Side): void {
  const { name, stream, other, state } = side;
  stream.once('end', () => {
    state.first ??= name;
  });
  stream.on('error', (error: Error) => {
    state.first ??= name;
    if (!state.isBroken) state.error ??= error;
  });
  let isClosed = false;
  const onClose = () => {
    if (isClosed) return;
    isClosed = true;
    state.first ??= name;
    if (!stream.readableEnded || !stream.writableFinished) {
      state.isBroken = true;
      breakOther(side);
    }
    side.onClosed();
  };
  stream.once('close', onClose);
  if (stream.closed) onClose();
  else if (stream.destroyed || other.destroyed) stream.destroy(new Error('the other side is gone'));
}

function breakOther({ stream, other, state, lingerMs, breakStream }: Side): void {
  if (other.destroyed) return;
  if (!stream.readableEnded) {
    breakStream(other, stream, state.error);
    return;
  }
  const finish = () => {
    other.destroy();
  };
  if (other.writableFinished) {
    finish();
    return;
  }
  const timer = setTimeout(finish, lingerMs);
  other.once('finish', finish);
  other.once('close', () => {
    clearTimeout(timer);
  });
  // What the other side still says has no reader any more, but must not block its end.
  other.resume();
}

/** Ends a stream so that its peer does not take it for an orderly end. */
export function breakPlainly(other: Duplex): void {
  // A destroyed TCP socket says FIN, as after an orderly end; only a reset tells its peer that bytes are missing. TLS tells
  // it by a close_notify that does not come (RFC 8446 §6.1), and has no reset.
  if (other instanceof Socket && !(other instanceof TLSSocket)) other.resetAndDestroy();
  else other.destroy(new Error('the other side is gone'));
}
