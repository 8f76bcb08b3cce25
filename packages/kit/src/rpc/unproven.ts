/**
 * Connections from outside whose certificate proves nothing, or that have none (LIM-04). The one port gives their place
 * free as soon as it passes them on, so the listener behind it bounds them: in number, for each address and in all; in
 * life, because an HTTP/2 connection that answers pings never ends by itself; and in bytes, because unfinished messages
 * of all its streams stay in memory. What may be asked without a certificate takes a few KiB.
 */
import type { Socket } from 'node:net';

export interface UnprovenLimits {
  readonly perAddress: number;
  readonly total: number;
  readonly lifeMs: number;
  /** Received in its whole life; looked at four times a second. */
  readonly bytes: number;
}

const unprovenLimits: UnprovenLimits = {
  perAddress: 200,
  total: 2_000,
  lifeMs: 60_000,
  bytes: 1024 * 1024,
};

const lookEveryMs = 250;

export interface UnprovenGate {
  /** Counts the connection until it closes, and ends it when its time is over. False: there are too many. */
  admit(socket: Socket, address: string): boolean;
}

export function createUnprovenGate(limits: UnprovenLimits = unprovenLimits): UnprovenGate {
  const counts = new Map<string, number>();
  let total = 0;
  return {
    admit(socket, address) {
      const count = counts.get(address) ?? 0;
      if (total >= limits.total || count >= limits.perAddress) return false;
      total += 1;
      counts.set(address, count + 1);
      const endsAt = performance.now() + limits.lifeMs;
      const timer = setInterval(() => {
        if (performance.now() >= endsAt || socket.bytesRead > limits.bytes) socket.destroy();
      }, lookEveryMs);
      socket.once('close', () => {
        clearInterval(timer);
        total -= 1;
        const left = (counts.get(address) ?? 1) - 1;
        if (left === 0) counts.delete(address);
        else counts.set(address, left);
      });
      return true;
    },
  };
}
