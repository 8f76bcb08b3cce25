/** HTTP/2 streams as connections: how one is given up with a reason, and why one was lost. */
import type { Http2Session, Http2Stream } from 'node:http2';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { GatehouseError } from '@gatehouse/kit/errors';
import { breakPlainly } from '@gatehouse/kit/net';

import {
  dialError,
  parseDialReason,
  reasonOfResetCode,
  resetCodeOf,
  type DialReason,
} from './errors.js';

/**
 * Gives both directions up; the other end hears the reason. Never with the codes NO_ERROR or CANCEL: node:http2 shows
 * those to the other end as an orderly end.
 */
export function resetStream(stream: Http2Stream, reason: DialReason): void {
  if (stream.destroyed) return;
  if (!stream.closed) stream.close(resetCodeOf(reason));
  stream.destroy();
}

const sessions = new WeakMap<Duplex, Http2Session | undefined>();

/**
 * Makes a stream of a tunnel fit to be a connection: it gets the `error` listener that every stream needs, and each loss
 * of it is an error with its reason. By itself node:http2 shows a stream that was cancelled, also by the death of its
 * whole connection, as one that ended in order; a cut download would pass for a complete one.
 */
export function adoptStream(stream: Http2Stream): void {
  sessions.set(stream, stream.session);
  stream.on('error', () => undefined);
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk !== null || !(stream.destroyed || isCancelled(stream))) return push(chunk, encoding);
    if (!stream.destroyed) stream.destroy();
    return false;
  };
  // A stream that is given up would say END_STREAM before RST_STREAM.
  const final = stream._final.bind(stream);
  stream._final = (callback) => {
    if (stream.closed || stream.destroyed) callback();
    else final(callback);
  };
  const destroy = stream._destroy.bind(stream);
  stream._destroy = (error, callback) => {
    destroy(error, (cause) => {
      const isLost = cause ?? (isCancelled(stream) || isCutOff(stream));
      callback(isLost ? dialError(lossReason(stream), { cause }) : null);
    });
  };
}

/** Its tunnel ended before it did. */
function isCutOff(stream: Http2Stream): boolean {
  const isDone = stream.readableEnded && stream.writableFinished;
  return sessions.get(stream)?.destroyed === true && !isDone;
}

function isCancelled(stream: Http2Stream): boolean {
  return stream.closed && stream.rstCode !== 0;
}

function isTunnelStream(stream: Duplex): stream is Http2Stream {
  return sessions.has(stream);
}

/** Why an adopted stream closed before its time. */
export function lossReason(stream: Http2Stream): DialReason {
  const reason = reasonOfResetCode(stream.rstCode);
  if (reason !== undefined) return reason;
  return sessions.get(stream)?.destroyed === false ? 'closed' : 'agent_lost';
}

/** Destroys one side of a joined pair because `broken` broke; tells its other end the reason where it can. */
export function breakConnection(other: Duplex, broken: Duplex, error: Error | undefined): void {
  const reason = isTunnelStream(broken)
    ? lossReason(broken)
    : parseDialReason(error instanceof GatehouseError ? error.reason : undefined);
  if (isTunnelStream(other)) resetStream(other, reason);
  else if (other instanceof Socket) breakPlainly(other);
  else other.destroy(dialError(reason, { cause: error }));
}
