/** Finds tunnels whose other end is gone without a word. */
import type { Http2Session } from 'node:http2';

/**
 * Pings every `intervalMs` and calls `onDead` when two pings in a row had no answer within an interval. Stops with the
 * session.
 */
export function keepAlive(session: Http2Session, intervalMs: number, onDead: () => void): void {
  let missed = 0;
  let isAnswered = true;
  const timer = setInterval(() => {
    missed = isAnswered ? 0 : missed + 1;
    if (missed >= 2) {
      clearInterval(timer);
      onDead();
      return;
    }
    isAnswered = false;
    if (session.destroyed) return;
    session.ping((error) => {
      if (error === null) isAnswered = true;
    });
  }, intervalMs);
  session.once('close', () => {
    clearInterval(timer);
  });
}
